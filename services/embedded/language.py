"""Which of the two languages a person at this terminal reads."""

import os
import unicodedata


def japanese() -> bool:
    """Whether the locale asks for Japanese, by the order in which POSIX reads the variables."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return value.lower().startswith("ja")
    return False


def text(en: str, ja: str) -> str:
    """The one of two equal sentences that the reader's locale asks for."""
    return ja if japanese() else en


def padded(words: str, columns: int) -> str:
    """The words with spaces behind them up to a width; full-width characters take two columns."""
    return words + " " * max(0, columns - width(words))


def width(words: str) -> int:
    """How many columns of a terminal the words take."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in words)
