"""What is wrong with a row, a template or a job file, said so that a person can mend it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, with its place and remedy."""

    reason: str
    """Stable, UPPER_SNAKE."""
    field: str
    """The field at fault, such as "messages[2].role"; empty when it is the whole."""
    en: str
    """What is wrong and what to do, in English."""
    ja: str
    """The same in Japanese."""


class ProblemError(ValueError):
    """Raised with everything that was found wrong; `problems` is never empty."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.en for problem in problems))
        self.problems = problems
