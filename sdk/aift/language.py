"""Japanese or English: which one people read on this terminal."""

import os
from collections.abc import Mapping
from typing import Literal

from aift.common.v1.blob_pb2 import LocalizedText

Language = Literal["en", "ja"]


def language(environment: Mapping[str, str] | None = None) -> Language:
    """The language of messages: AIFT_LANG if set, else the locale's (LC_ALL, LC_MESSAGES, LANG), else English."""
    variables = os.environ if environment is None else environment
    for name in ("AIFT_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := variables.get(name):
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"


def text(en: str, ja: str) -> str:
    """The one of two wordings that this terminal's user reads."""
    return ja if language() == "ja" else en


def localized(message: LocalizedText) -> str:
    """A service's message in this terminal's language; the other language where only that one is there."""
    return text(message.en or message.ja, message.ja or message.en)
