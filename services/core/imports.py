"""Loading many modules quickly, and without leaving them to be walked through ever after."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection within the block, and what it loaded is left out of later ones.

    Modules are made of objects that stay, so that looking for garbage among them, again and again as they grow, only
    costs time: a tenth of the start of a service.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
