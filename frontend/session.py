"""Who looks at the page, in which language, and the client that acts for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from aift import AiftError, Client
from aift.common.v1.blob_pb2 import LocalizedText

from frontend.server import LANGUAGE_COOKIE
from frontend.visitors import TOKEN_COOKIE, visitor_client

_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+\-.!|~>$:<]")


def language() -> str:
    """ "ja" or "en": chosen on the page, else the browser's."""
    chosen = st.context.cookies.get(LANGUAGE_COOKIE)
    if chosen in ("ja", "en"):
        return str(chosen)
    return "ja" if (st.context.locale or "ja").lower().startswith("ja") else "en"


def say(ja: str, en: str) -> str:
    """The wording for the one who looks."""
    return ja if language() == "ja" else en


def localized(message: LocalizedText) -> str:
    """A service's message for the one who looks, to be shown as it is."""
    return literal(say(message.ja or message.en, message.en or message.ja))


def literal(text: str) -> str:
    """A text that is shown as it is where Markdown is read: it may quote what somebody's data say."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def client() -> Client | None:
    """The client of this visitor; None when they have to sign in first."""
    return visitor_client(st.context.cookies.get(TOKEN_COOKIE))


def signed_in_client() -> Client:
    """The client on a page, which is reached only after signing in."""
    found = client()
    if found is None:
        st.stop()
    return found


@contextmanager
def problems_shown() -> Iterator[None]:
    """Shows a refused call in the page's language, with fields and remedies, and stops what depends on it there."""
    try:
        yield
    except AiftError as error:
        show_problem(error)


def show_problem(error: AiftError) -> None:
    """One error as people read it."""
    whole = literal(say(error.message_ja, error.message_en))
    told = [(f"- `{v.field}`: ", literal(say(v.message_ja, v.message_en))) for v in error.violations]
    lines = [] if any(message == whole for _, message in told) else [whole]
    lines += [field + message for field, message in told]
    details = f"`{error.reason}`" + (f" · {error.request_id}" if error.request_id else "")
    st.error("\n".join(lines) + f"\n\n{details}", icon=":material/error:")
