"""Memory of GPU models, for plans of machines that are not there yet. Figures from the makers' data sheets."""

import difflib
import re
from collections.abc import Mapping

from services.core.errors import InvalidArgument

_GIB = 1 << 30
MEMORY_GIB: Mapping[str, int] = {
    "RTX 3060": 12,
    "RTX 3080": 10,
    "RTX 3090": 24,
    "RTX 4060 Ti": 16,
    "RTX 4070": 12,
    "RTX 4080": 16,
    "RTX 4090": 24,
    "RTX 5080": 16,
    "RTX 5090": 32,
    "RTX A4000": 16,
    "RTX A5000": 24,
    "RTX A6000": 48,
    "RTX 6000 Ada": 48,
    "RTX PRO 6000": 96,
    "T4": 16,
    "V100 16GB": 16,
    "V100 32GB": 32,
    "L4": 24,
    "A10": 24,
    "L40S": 48,
    "A100 40GB": 40,
    "A100 80GB": 80,
    "H100": 80,
    "H200": 141,
    "B200": 180,
}
"""Name → memory in GiB."""
_SIZE = re.compile(r"(\d+)\s*gi?b", re.IGNORECASE)


def memory_of(model: str, *, field: str) -> tuple[str, int]:
    """Name and memory in bytes of a GPU by its model, with or without "NVIDIA" and "RTX", or by its size alone ("24GB").

    Raises InvalidArgument with the nearest name that is known.
    """
    if size := _SIZE.fullmatch(model.strip()):
        return f"{size[1]} GB", int(size[1]) * _GIB
    known = {_plain(name): name for name in MEMORY_GIB}
    name = known.get(_plain(model)) or known.get(f"rtx{_plain(model)}")
    if name is None:
        near = _near(_plain(model), known)
        raise InvalidArgument.field(
            field,
            "UNKNOWN_GPU",
            f"{model[:40]!r} is no GPU that we know, such as {near}. Give its memory instead, such as 24GB.",
            f"{model[:40]!r} は未登録の GPU です（例: {near}）。24GB のようにメモリ容量でも指定できます。",
        )
    return name, MEMORY_GIB[name] * _GIB


def _near(plain: str, known: Mapping[str, str]) -> str:
    """The names that begin so, such as both sizes of an A100; else the nearest."""
    begun = [name for other, name in known.items() if plain and other.startswith(plain)]
    close = difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
    return ", ".join(begun) or (known[close[0]] if close else "A100 80GB")


def same_model(asked: str, reported: str) -> bool:
    """Whether all words of a model's name stand in another, such as nvidia-smi's: "A100 80GB", "NVIDIA A100-SXM4-80GB"."""
    return _words(asked) <= _words(reported)


def _words(model: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", model.lower()))


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9]", "", model.lower()).removeprefix("nvidia").removeprefix("geforce")
