"""Names that people know for models of the Hugging Face Hub."""

from __future__ import annotations

import re

from services.core.errors import InvalidArgument
from services.core.names import slug

# Short names and ids of the manual, and ids that moved. Canonical ids on the right.
_KNOWN = {
    "distilgpt2": "distilbert/distilgpt2",
    "japanese-stablelm-3b": "stabilityai/japanese-stablelm-3b-4e1t-instruct",
    "elyza-japanese-llama-7b": "elyza/ELYZA-japanese-Llama-2-7b-instruct",
    "cyberagent/calm3-deepseek-r1-distill-qwen-32b": "cyberagent/DeepSeek-R1-Distill-Qwen-32B-Japanese",
}
_SHORT = {hub_id.lower(): short for short, hub_id in _KNOWN.items() if "/" not in short}
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_ID = re.compile(rf"{_PART}(?:/{_PART})?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}")


def is_hub_id(text: str) -> bool:
    """Whether this could be an id on the Hub: "name" or "owner/name", as the Hub allows them."""
    return _HUB_ID.fullmatch(text) is not None and ".." not in text and "--" not in text


def canonical(text: str) -> str:
    """The Hub's own id for a short name, an old id or an id; others stay as they are."""
    return _KNOWN.get(text.lower(), text)


def check_hub_id(text: str, *, field: str) -> str:
    """The canonical id. Raises InvalidArgument naming `field`."""
    if not is_hub_id(text):
        raise InvalidArgument.field(
            field,
            "INVALID_HUB_ID",
            'Must be an id of the Hugging Face Hub, such as "SakanaAI/TinySwallow-1.5B-Instruct".',
            "Hugging Face Hub の ID を指定してください (例: SakanaAI/TinySwallow-1.5B-Instruct)。",
        )
    return canonical(text)


def check_revision(text: str, *, field: str) -> str:
    """The revision, "main" when none is given. Raises InvalidArgument naming `field`."""
    if text and (_REVISION.fullmatch(text) is None or ".." in text):
        raise InvalidArgument.field(
            field,
            "INVALID_REVISION",
            "Must be a branch, a tag or a commit.",
            "ブランチ名、タグ名、またはコミットを指定してください。",
        )
    return text or "main"


def derived_id(hub_id: str) -> str:
    """The id of a base model that comes from the Hub: the manual's short name, else the name without its owner."""
    return _SHORT.get(hub_id.lower()) or slug(hub_id.rpartition("/")[2], fallback="model")
