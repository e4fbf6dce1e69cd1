"""What the model wrote: the base model's answers beside those at a step."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from aift.training.v1 import training_pb2

from frontend.session import say


def show_samples(samples: Sequence[training_pb2.Sample]) -> None:
    """One row a prompt; the newest step, or the one that somebody chooses."""
    if not samples:
        st.caption(
            say(
                "まだ生成例はありません。開始時にプロンプトを指定すると、評価のたびに書かれます。",
                "No samples yet. Prompts that are given at the start are tried at each evaluation.",
            )
        )
        return
    steps = sorted({sample.step for sample in samples})
    step = _step(steps)
    written = {(sample.prompt, sample.step): sample.text for sample in samples}
    for prompt in dict.fromkeys(sample.prompt for sample in samples):
        with st.container(border=True):
            st.text(prompt)  # as it is: neither prompts nor answers are Markdown of ours
            base, current = st.columns(2)
            _answer(base, say("ベースモデル", "Base model"), written.get((prompt, 0)))
            if step:
                label = say(f"ステップ {step:,}", f"Step {step:,}")
                _answer(current, label, written.get((prompt, step)))


def _step(steps: list[int]) -> int:
    """The step that is shown; the slider follows the newest until it is moved."""
    later = [step for step in steps if step]
    if len(later) < 2:
        return later[-1] if later else 0
    chosen = st.select_slider(
        say("ステップ", "Step"), later, value=later[-1], key=f"sample-step-{later[-1]}", format_func=lambda s: f"{s:,}"
    )
    return int(chosen)


def _answer(column: st.delta_generator.DeltaGenerator, label: str, text: str | None) -> None:
    column.caption(label)
    column.text(text if text is not None else "–")
