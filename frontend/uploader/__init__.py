"""The file chooser: drag and drop of several files, a bar each, sent one after the other, going on where it was cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from frontend.session import language, say

_FOLDER = Path(__file__).parent
_HTML, _CSS, _JS = ((_FOLDER / f"uploader.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))


@dataclass(frozen=True, kw_only=True)
class SentFile:
    """A file that the service has whole."""

    upload: str
    filename: str


def file_chooser(key: str) -> list[SentFile]:
    """Shows the chooser; gives the files in the one run that follows their arrival."""
    # Registered in every run: the registry is the server's, and tests have one each.
    mount = st.components.v2.component("aift_uploader", html=_HTML, css=_CSS, js=_JS)
    result = mount(key=key, data=_words(), on_done_change=lambda: None)
    return [SentFile(upload=str(one["upload"]), filename=str(one["filename"])) for one in result.get("done") or ()]


def _words() -> dict[str, str]:
    return {
        "language": language(),
        "drop": say("ここにファイルをドラッグ＆ドロップ（複数可）", "Drag and drop files here"),
        "choose": say("ファイルを選択", "Choose files"),
        "remove": say("取り消す", "Remove"),
        "send": say("アップロード", "Upload"),
        "stop": say("中断", "Pause"),
        "resume": say("再開", "Go on"),
        "sending": say("送信中", "Sending"),
        "waiting": say("接続を待っています", "Waiting for the connection"),
        "closing": say("確認中", "Verifying"),
        "sent": say("送信完了", "Sent"),
        "lost": say("サーバーに接続できません。", "The server cannot be reached."),
    }
