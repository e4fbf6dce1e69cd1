"""The trainer's log, with a filter."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from frontend.session import say
from frontend.training.history import History

_SHOWN = 500
_HEIGHT = 480


def show_log(history: History) -> None:
    """The newest lines that contain what is asked for."""
    asked = st.text_input(
        say("絞り込み", "Filter"), key="log-filter", placeholder="error, warning, step", icon=":material/search:"
    )
    if not history.lines:
        st.caption(say("ログはまだありません。", "No lines yet."))
        return
    lines = matching(history.lines, asked)
    text = say(f"{len(lines):,} / {len(history.lines):,} 行", f"{len(lines):,} of {len(history.lines):,} lines")
    if len(lines) > _SHOWN:
        text += say(f"（新しい {_SHOWN} 行を表示）", f" (the newest {_SHOWN} are shown)")
    if history.dropped_lines:
        dropped = history.dropped_lines
        text += say(f" · 多すぎて省かれた行 {dropped:,}", f" · {dropped:,} left out because there were too many")
    st.caption(text)
    st.code("\n".join(lines[-_SHOWN:]) or "…", language=None, height=_HEIGHT)


def matching(lines: Iterable[str], asked: str) -> list[str]:
    """Lines that contain every word, whatever its case."""
    words = asked.lower().split()
    return [line for line in lines if all(word in line.lower() for word in words)]
