"""Which of the two languages a person at this terminal reads."""

import os


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
