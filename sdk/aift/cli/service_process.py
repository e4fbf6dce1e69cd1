"""Programs of the services that the command hands over to."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import grpc

from aift.errors import AiftError


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Becomes `python -m module`: same process, so that signals and the exit code are its own.

    Raises AiftError SERVICES_NOT_INSTALLED where only the client is installed.
    """
    if not _installed(module):
        raise AiftError(
            "SERVICES_NOT_INSTALLED",
            grpc.StatusCode.FAILED_PRECONDITION,
            "Only the client is installed here. To run AIFT on this machine: pip install 'aift[all]'",
            "ここにはクライアントだけがインストールされています。このマシンで AIFT を動かすには: pip install 'aift[all]'",
        )
    sys.stdout.flush()
    sys.stderr.flush()
    # -P: a folder named "services" where the user stands must not be taken for ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606


def _installed(module: str) -> bool:
    # Nothing of theirs is imported here: only the folder is looked for.
    package, _, name = module.rpartition(".")
    top, *inner = package.split(".")
    spec = importlib.util.find_spec(top)
    folders = spec.submodule_search_locations if spec else None
    places = [Path(folder).joinpath(*inner, name) for folder in folders or ()]
    return any(place.is_dir() or place.with_suffix(".py").is_file() for place in places)
