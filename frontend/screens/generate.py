"""Text generation: one model, or base and tuned side by side."""

from __future__ import annotations

import streamlit as st
from aift import AiftError, Client
from aift.inference.v1 import inference_pb2
from aift.registry.v1 import registry_pb2

from frontend.session import problems_shown, say, show_problem, signed_in_client

_EXAMPLES = (
    "質問: 機械学習とは何ですか？\n回答: ",
    "以下の文章を要約してください：\n[文章内容]\n要約: ",
)
_LONG_PROMPT = 500


def show() -> None:
    """The page. The address names the model and keeps the prompt."""
    st.title(say("テキスト生成", "Generate text"))
    with problems_shown():
        client = signed_in_client()
        models = _models(client)
        if not models:
            st.page_link(
                "screens/models.py",
                label=say("まずベースモデルを取り込んでください。", "Import a base model first."),
                icon=":material/inventory_2:",
            )
            return
        left, right = st.columns([2, 1])
        with right:
            model, compared = _choice(client, models)
            options = _options()
        with left:
            _ask(client, [name for name in (compared, model) if name], options)


def _models(client: Client) -> list[str]:
    """Versions and aliases, newest model first, then base models."""
    names: list[str] = []
    for model in client.models.list():
        names += [alias.name for alias in model.aliases]
        names += [version.name for version in client.models.versions(model.name)]
    ready = registry_pb2.BASE_MODEL_STATE_READY
    return names + [base.name for base in client.base_models.list() if base.state == ready]


def _choice(client: Client, models: list[str]) -> tuple[str, str]:
    """The model, and the base model to compare it with, "" for none."""
    asked = st.query_params.get("model", "")
    model = st.selectbox(say("使用するモデル", "Model"), models, index=models.index(asked) if asked in models else 0)
    st.query_params["model"] = model
    if model.startswith("baseModels/"):
        return model, ""
    base = client.models.version(model).base_model
    compare = st.checkbox(say("ベースモデルと比べる", "Compare with the base model"), value=True)
    return model, base if compare and base != model else ""


def _options() -> dict[str, object]:
    return {
        "temperature": st.slider(
            "Temperature",
            0.0,
            2.0,
            0.7,
            0.05,
            help=say("ランダム性。低い値は確実、高い値は創造的。推奨 0.7〜0.9。", "Randomness; 0.7 to 0.9 is usual."),
        ),
        "top_p": st.slider("Top-p", 0.05, 1.0, 0.9, 0.05, help=say("語彙の絞り込み。", "Narrows the vocabulary.")),
        "max_new_tokens": st.number_input(
            say("最大長（生成するトークン数）", "Max length (tokens)"),
            1,
            65536,
            100,
            help=say("50〜200 が目安。", "50 to 200 is usual."),
        ),
        "repetition_penalty": st.slider(
            "Repetition Penalty", 0.5, 2.0, 1.1, 0.05, help=say("繰り返しを抑えます。", "Discourages repetition.")
        ),
        "seed": st.number_input(
            "Seed", 0, None, None, help=say("空なら毎回変わります。", "Empty: another one each time.")
        ),
    }


def _ask(client: Client, models: list[str], options: dict[str, object]) -> None:
    with st.expander(say("書き方のヒント", "Hints"), expanded=False):
        st.markdown(
            say(
                "- 学習データと同じ形で書きます。\n- 「何か教えて」のような曖昧な指示、「それは」のような文脈のない文は避けます。\n"
                "- 500文字を超えるプロンプトは避けます。",
                "- Write as the training data are written.\n- Avoid vague requests and sentences without context.\n"
                "- Avoid prompts of more than 500 characters.",
            )
        )
        for number, example in enumerate(_EXAMPLES):
            st.code(example, language=None)
            if st.button(say("この例を使う", "Use this example"), key=f"example{number}"):
                st.session_state["prompt"] = example
    if "prompt" not in st.session_state:
        st.session_state["prompt"] = st.query_params.get("prompt", "")
    prompt = st.text_area(say("プロンプト", "Prompt"), key="prompt", height=140)
    if len(prompt) > _LONG_PROMPT:
        st.caption(
            say("長いプロンプトです。短いほうが良い結果になります。", "A long prompt; shorter ones work better.")
        )
    if st.button(say("テキスト生成", "Generate"), type="primary", disabled=not prompt):
        st.query_params["prompt"] = prompt[:_LONG_PROMPT]
        for column, model in zip(st.columns(len(models)), models, strict=True):
            with column:
                _answer(client, model, prompt, options)


def _answer(client: Client, model: str, prompt: str, options: dict[str, object]) -> None:
    st.caption(model)
    sampling = {name: value for name, value in options.items() if value is not None}
    text = ""
    end: inference_pb2.GenerateStreamResponse | None = None
    try:
        with st.container(border=True):
            shown = st.empty()
            for piece in client.generate_stream(model, prompt, **sampling):  # type: ignore[arg-type]
                text += piece.text
                shown.text(text)  # as it is: what a model writes is not Markdown of ours
                end = piece if piece.finish_reason else end
    except AiftError as error:
        show_problem(error)
        return
    if end:
        usage = end.usage
        speed = usage.completion_tokens / usage.total_seconds if usage.total_seconds else 0.0
        cut = end.finish_reason == inference_pb2.FINISH_REASON_LENGTH
        how = say("最大長で終了", "ended at the max length") if cut else say("終了", "complete")
        st.caption(f"{usage.completion_tokens} tokens · {speed:.0f} tokens/s · {how}")


show()
