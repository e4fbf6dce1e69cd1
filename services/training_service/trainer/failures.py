"""Failures by kind, and the exit code of each. Standard library only."""

from __future__ import annotations

from typing import Literal

from services.text.problems import Problem, ProblemError

Kind = Literal["infrastructure", "out_of_memory", "configuration", "data"]

EXIT_CODES: dict[Kind, int] = {"infrastructure": 10, "out_of_memory": 11, "configuration": 12, "data": 13}
"""infrastructure may succeed when tried again; out_of_memory with smaller batches; the others never."""

DISK_FULL = 74  # EX_IOERR of sysexits.h
"""The exit code of an infrastructure failure for want of room, which cannot always be written down any more."""


class TrainingError(ProblemError):
    """Ends the training with a failure of a kind; carries the problems that people are shown."""

    kind: Kind = "infrastructure"


class ConfigurationError(TrainingError):
    """The job file, the base model or the machine do not fit together."""

    kind = "configuration"


class DataError(TrainingError):
    """The rows cannot be trained on."""

    kind = "data"


def configuration(reason: str, field: str, en: str, ja: str) -> ConfigurationError:
    """A ConfigurationError of one problem."""
    return ConfigurationError(Problem(reason, field, en, ja))


def data(reason: str, field: str, en: str, ja: str) -> DataError:
    """A DataError of one problem."""
    return DataError(Problem(reason, field, en, ja))
