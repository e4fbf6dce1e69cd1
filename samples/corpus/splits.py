"""Which entity belongs to which data: pre-training, fine-tuning or held-out.

The split is a function of the entity's name alone, so that no entity can be in two of them, whatever
the seed. Companies, people, products, reference numbers and amounts are split; dates, times, places,
departments and quantities come from small closed sets that everybody shares.
"""

import hashlib
import random
from collections.abc import Callable
from enum import Enum


class Split(Enum):
    """One of three disjoint sets of entities."""

    PRETRAIN = "pretrain"
    FINETUNE = "finetune"
    HELDOUT = "heldout"


_TENTHS = (Split.PRETRAIN,) * 7 + (Split.FINETUNE,) * 2 + (Split.HELDOUT,)


def split_of(name: str) -> Split:
    """Return the split that an entity's name falls into: 70, 20 and 10 percent."""
    digest = hashlib.sha256(name.encode()).digest()
    return _TENTHS[int.from_bytes(digest[:4], "big") % 10]


def draw(rng: random.Random, split: Split, make: Callable[[random.Random], str]) -> str:
    """Draw from `make` until the name belongs to the split."""
    while split_of(name := make(rng)) is not split:
        pass
    return name
