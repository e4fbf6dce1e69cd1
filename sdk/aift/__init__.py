"""AIFT: fine-tune Japanese language models on your own machines. Begin with `aift.Client()`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aift.client import Client
    from aift.datasets import InvalidDataError
    from aift.errors import AiftError, Violation
    from aift.jobs import TrainingError
    from aift.progress import Progress

__all__ = ["AiftError", "Client", "InvalidDataError", "Progress", "TrainingError", "Violation"]

_HOMES = {
    "AiftError": "aift.errors",
    "Client": "aift.client",
    "InvalidDataError": "aift.datasets",
    "Progress": "aift.progress",
    "TrainingError": "aift.jobs",
    "Violation": "aift.errors",
}


def __getattr__(name: str) -> object:
    # Loaded on first use: whoever only wants the generated stubs pays for nothing else.
    if name not in _HOMES:
        raise AttributeError(f"module 'aift' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
