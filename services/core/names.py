"""Resource names and ids: building them, and taking apart what clients send."""

import re
import secrets
import unicodedata
import uuid
from functools import lru_cache

from services.core.errors import InvalidArgument

ID_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ID = re.compile(ID_PATTERN)
_VERSION_PATTERN = r"[1-9][0-9]{0,17}"
_NUMBERED = frozenset({"n", "version", "attempt", "step"})
_OF_IDS = (
    "1 to 63 lower-case letters, digits or inner hyphens",
    "半角の英小文字・数字・途中のハイフンで 1〜63 文字",
)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        inner = _VERSION_PATTERN if match[1] in _NUMBERED else ID_PATTERN
        inner = r"0|" + inner if match[1] == "step" else inner
        return f"(?P<{match[1]}>{inner})"

    parts = re.split(r"(\{\w+\})", pattern)
    return re.compile("".join(re.sub(r"\{(\w+)\}", group, p) if p.startswith("{") else re.escape(p) for p in parts))


def matches(pattern: str, name: str) -> bool:
    """Whether a name has the form of a pattern such as "datasets/{d}/versions/{n}"."""
    return _compiled(pattern).fullmatch(name) is not None


def parse(pattern: str, name: str, *, field: str = "name") -> dict[str, str]:
    """The ids in a resource name. `{n}`, `{version}`, `{attempt}` and `{step}` are numbers, all else are ids.

    Raises InvalidArgument naming `field`; whatever is not exactly of the form, such as "../" or NUL, is refused.
    """
    match = _compiled(pattern).fullmatch(name)
    if match is None:
        raise InvalidArgument.field(
            field,
            "INVALID_NAME",
            f"Must have the form {pattern}, got {_shown(name)}. An id is {_OF_IDS[0]}.",
            f"{pattern} の形式で指定してください (指定値: {_shown(name)})。ID は{_OF_IDS[1]}です。",
        )
    return match.groupdict()


def build(pattern: str, **ids: object) -> str:
    """The resource name with these ids."""
    return pattern.format_map(ids)


def check_id(value: str, *, field: str) -> str:
    """Returns the id a client chose. Raises InvalidArgument naming `field`."""
    if _ID.fullmatch(value) is None:
        raise InvalidArgument.field(
            field,
            "INVALID_ID",
            f"Must be {_OF_IDS[0]}, got {_shown(value)}.",
            f"{_OF_IDS[1]}にしてください (指定値: {_shown(value)})。",
        )
    return value


def check_text(value: str, *, field: str, max_chars: int = 200) -> str:
    """Returns text for display, Japanese welcome. Raises InvalidArgument for control characters or too much."""
    if len(value) > max_chars or any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in value):
        raise InvalidArgument.field(
            field,
            "INVALID_TEXT",
            f"Must be at most {max_chars} characters without control characters.",
            f"制御文字を含まない {max_chars} 文字以内の文字列にしてください。",
        )
    return value


def new_id(prefix: str = "") -> str:
    """A random id: the prefix, then 16 letters and digits (80 bits)."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(16))


def new_uid() -> str:
    """A uid, never used again."""
    return str(uuid.uuid4())


def slug(text: str, *, fallback: str) -> str:
    """An id that resembles a display name; `fallback` (an id) when nothing of it can stay."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    made = re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")[:63].strip("-")
    return made or fallback


def _shown(value: str) -> str:
    shown = value if len(value) <= 80 else value[:79] + "…"
    return repr(shown)
