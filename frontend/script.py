"""What runs at every look at the page: language, sign-in, navigation."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from frontend import session
from frontend.session import say
from frontend.settings import PageSettings

_ICON = Path(__file__).with_name("icon.svg")
"""Our own: browsers would fetch one of Streamlit's from elsewhere."""


def main() -> None:
    """Shows the page that the address names."""
    st.set_page_config(page_title="AIFT", page_icon=_ICON, layout="wide")
    if session.client() is None:
        st.title("AIFT")
        st.link_button(say("サインイン", "Sign in"), "/signin", type="primary")
        st.stop()
    pages = [
        st.Page(
            "screens/dashboard.py",
            title=say("ダッシュボード", "Dashboard"),
            icon=":material/monitoring:",
            url_path="dashboard",
            default=True,
        ),
        st.Page("screens/data.py", title=say("データ", "Data"), icon=":material/dataset:", url_path="data"),
        st.Page(
            "screens/finetune.py",
            title=say("ファインチューニング", "Fine-tuning"),
            icon=":material/tune:",
            url_path="finetune",
        ),
        st.Page(
            "screens/generate.py", title=say("テキスト生成", "Generate"), icon=":material/chat:", url_path="generate"
        ),
        st.Page(
            "screens/models.py", title=say("モデル管理", "Models"), icon=":material/inventory_2:", url_path="models"
        ),
        st.Page("screens/job.py", title=say("ジョブ", "Job"), url_path="job", visibility="hidden"),
    ]
    chosen = st.navigation(pages, position="top")
    chosen.run()
    footer()


def footer() -> None:
    """Language and sign-out, small, at the end."""
    st.divider()
    left, _ = st.columns([1, 4])
    other, label = ("en", "English") if session.language() == "ja" else ("ja", "日本語")
    links = f"[{label}](/language/{other})"
    if not PageSettings.from_environment().opens_at_once:
        links += f" · [{say('サインアウト', 'Sign out')}](/signout)"
    left.markdown(links)


main()
