"""MinHash signatures of texts, by which their similarity is estimated."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

PERMUTATIONS = 128
SHINGLE = 5
"""Characters of one shingle; a shorter text is one shingle by itself."""

Signature: TypeAlias = NDArray[np.uint32]

_SCHEME = "affine32"
_A, _B = MinHash(num_perm=PERMUTATIONS, scheme=_SCHEME).permutations
_PRIME = np.uint32(0x01000193)
_AT_ONCE = 2048
_FOUND = 0.97


def signature(text: str) -> Signature:
    """The text's signature: that of datasketch's MinHash over the hashes of its shingles."""
    hashes = _mixed(shingle_hashes(text))
    lowest = np.full(PERMUTATIONS, 0xFFFFFFFF, dtype=np.uint32)
    for start in range(0, len(hashes), _AT_ONCE):
        permuted = hashes[start : start + _AT_ONCE, None] * _A + _B
        np.minimum(lowest, permuted.min(axis=0), out=lowest)
    return lowest


def shingle_hashes(text: str) -> NDArray[np.uint32]:
    """A hash of every five characters in a row."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    width = min(SHINGLE, len(points))
    count = len(points) - width + 1
    hashes = np.full(count, 0x811C9DC5, dtype=np.uint32)
    scattered = _mixed(points)  # neighbouring code points differ in a few bits only
    for offset in range(width):
        hashes = (hashes ^ scattered[offset : offset + count]) * _PRIME
        hashes ^= hashes >> np.uint32(15)
    return hashes


def bands(threshold: float) -> tuple[int, int]:
    """How many bands of how many values nearly always have one in common in two texts of this similarity.

    The widest bands that find 97 % of such pairs. That others meet too costs a comparison and no more.
    """
    for width in range(PERMUTATIONS // 2, 1, -1):
        count = PERMUTATIONS // width
        if 1 - (1 - threshold**width) ** count >= _FOUND:
            return count, width
    return PERMUTATIONS, 1


def _mixed(values: NDArray[Any]) -> NDArray[np.uint32]:
    """The finaliser of MurmurHash3, as datasketch's scheme wants it before its permutations."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    mixed: NDArray[np.uint32] = values ^ (values >> np.uint32(16))
    return mixed
