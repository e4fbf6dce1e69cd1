"""Arguments that are refused before any call: numbers that the contract has no place for, one text for several."""

from collections.abc import Sequence

from aift.errors import invalid

MOST_ROWS = 2**63 - 1
"""The highest number that a row may have."""


def within(field: str, value: int, low: int, high: int) -> int:
    """The number, which must lie in [low, high]. Raises AiftError OUT_OF_RANGE."""
    if low <= value <= high:
        return value
    raise invalid(
        field,
        "OUT_OF_RANGE",
        f"{field} is {value}; choose {low} to {high}.",
        f"{field} の値 {value} は範囲外です。{low}〜{high} で指定してください。",
    )


def texts(field: str, values: Sequence[str]) -> Sequence[str]:
    """Several texts; a lone one would be read as its characters. Raises AiftError INVALID_VALUE."""
    if not isinstance(values, str):
        return values
    raise invalid(
        field,
        "INVALID_VALUE",
        f"{field} is the text {values!r}; give a list of texts: [{values!r}].",
        f"{field} に文字列 {values!r} が渡されました。[{values!r}] のようにリストで指定してください。",
    )
