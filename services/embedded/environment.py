"""What a child process sees of our own environment: what it needs, and no secret of another's."""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

# What any program needs to run at all, and what a person sets for all of them. Not PYTHONDONTWRITEBYTECODE: without
# bytecode every start and restart compiles everything again and takes twice as long.
_ANY = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "VIRTUAL_ENV"),
    *("PYTHONPATH", "PYTHONWARNINGS", "LD_LIBRARY_PATH", "DYLD_*", "SSL_CERT_*"),
    *("GRPC_*", "COVERAGE_*", "AIFT_*"),
)
# Settings may reach everyone, secrets only those whose pattern names them.
_SECRET = ("AIFT_*TOKEN", "AIFT_*_KEY", "AIFT_*PASSWORD", "AIFT_DATABASE_URL")
# Looking for plugins, pydantic would read the metadata of every installed package in every process.
_FIXED = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
_PATHS = {"PYTHONPATH", "AIFT_CONFIG_FILE"}
# What reaches out to the network.
NETWORK = ("*_proxy", "*_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# What computes.
COMPUTE = ("CUDA_*", "NVIDIA_*", "NCCL_*", "TORCH_*", "PYTORCH_*", "TRITON_*", "OMP_*", "MKL_*", "OPENBLAS_*", "DS_*")


def environment(forwards: tuple[str, ...], own: Mapping[str, str]) -> dict[str, str]:
    """The variables that match the patterns, then `own`, which wins."""
    chosen = {
        name: value
        for name, value in os.environ.items()
        if _matches(name, forwards) or (_matches(name, _ANY) and not _matches(name, _SECRET))
    }
    # Children stand in the state directory: paths must not depend on where we stand, nor modules be found by it.
    for name in _PATHS & chosen.keys():
        chosen[name] = os.pathsep.join(str(Path(entry).absolute()) for entry in chosen[name].split(os.pathsep))
    return {**chosen, **_FIXED, **own}


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
