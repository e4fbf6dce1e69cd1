"""What a plan tells people, in both languages."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Note:
    """What to know."""

    en: str
    ja: str


def gib(size: int) -> str:
    """Bytes as GiB with one decimal."""
    return f"{size / (1 << 30):.1f}"
