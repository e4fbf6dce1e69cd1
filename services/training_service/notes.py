"""What a plan tells people, in both languages."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Note:
    """What to know."""

    en: str
    ja: str


def in_bytes(size: float) -> str:
    """Bytes in binary units, as the command line and the page show them beside: "1.07 GiB", "25.8 GiB", "413 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if round(size) < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB" if size < 10 else f"{size:,.1f} GiB"
