"""What a training would take, before any hardware is taken."""

from __future__ import annotations

from typing import TypedDict

import streamlit as st
from aift.hyperparameters import as_settings
from aift.training.v1 import training_pb2

from frontend import wording
from frontend.session import localized, say
from frontend.training import words
from frontend.training.draft import Draft

_GIB = 1 << 30
_BAR_HEIGHT = 200
_END_COLOR = "#e5484d"


class _End(TypedDict):
    GiB: float
    worker: str


def show_plan(plan: training_pb2.TrainingPlan) -> None:
    """Its figures, the memory by part beside what the machines have, and what to know."""
    _figures(plan)
    if plan.memory:
        st.caption(say("メモリの内訳と GPU のメモリ（1台あたり）", "Memory by part, and what a device has"))
        st.vega_lite_chart(_bar(plan), width="stretch")
    for fit in plan.fits:
        text = f"{fit.worker}: {wording.size(fit.available_bytes)}"
        (st.success if fit.fits else st.error)(
            f"{text} · {say('収まります', 'fits') if fit.fits else say('収まりません', 'does not fit')}"
        )
    for note in plan.notes:
        st.info(localized(note))


def show_remedies(draft: Draft, plan: training_pb2.TrainingPlan) -> None:
    """Changes that make it fit, the least harm first; each one fills the form in."""
    if not plan.remedies:
        return
    st.markdown(f"**{say('収めるための対策（影響の小さい順）', 'What makes it fit, the least harm first')}**")
    together: dict[str, object] = {}
    for number, remedy in enumerate(plan.remedies):
        changes = as_settings(remedy.changes) | ({"processes": remedy.processes} if remedy.processes else {})
        together |= changes
        what, after, apply = st.columns([6, 3, 2], vertical_alignment="center")
        what.markdown(f"{number + 1}\\. {localized(remedy.message)}")
        fits = say("収まります", "fits") if remedy.fits else say("まだ収まりません", "not yet")
        after.markdown(f"→ {wording.size(remedy.memory_bytes)} · {fits}")
        apply.button(
            say("適用", "Apply"), key=f"remedy-{number}", on_click=draft.write, args=(changes,), width="stretch"
        )
    if not plan.remedies[-1].fits:
        st.warning(say("すべて適用しても収まりません。", "Even all of them together do not make it fit."))
    st.button(say("すべて適用", "Apply all"), key="remedy-all", type="primary", on_click=draft.write, args=(together,))


def _figures(plan: training_pb2.TrainingPlan) -> None:
    trained, steps, batch, memory = st.columns(4)
    _metric(
        trained,
        say("学習するパラメータ", "Trained parameters"),
        f"{plan.trainable_parameters:,}",
        f"{plan.trainable_parameters / max(plan.parameters, 1):.2%}",
    )
    held_out = say(f"評価 {plan.eval_rows:,}", f"{plan.eval_rows:,} held out")
    _metric(
        steps,
        say("ステップ数", "Steps"),
        f"{plan.steps:,}",
        say(f"{plan.train_rows:,} 行", f"{plan.train_rows:,} rows") + f" · {held_out}",
    )
    batch.metric(say("実効バッチサイズ", "Effective batch"), f"{plan.effective_batch_size:,}")
    memory.metric(say("メモリ見積り（1台あたり）", "Memory per device"), wording.size(plan.memory_bytes))
    _time(plan)


def _time(plan: training_pb2.TrainingPlan) -> None:
    time, tokens, saved, _ = st.columns(4)
    known = plan.HasField("training_time")
    time.metric(
        say("学習時間", "Training time"),
        wording.duration(plan.training_time.seconds) if known else say("不明", "unknown"),
        help=localized(plan.training_time_basis),
    )
    tokens.metric(say("トークン数", "Tokens"), f"{plan.tokens:,}", help=localized(plan.tokens_basis))
    if plan.HasField("padding_saved"):
        saved.metric(
            say("省けるパディング", "Padding saved"),
            f"{plan.padding_saved:.0%}",
            help=say(
                "短い行をまとめない場合にバッチの中で無駄になる割合。",
                "The share of padded batches that would be padding without packing.",
            ),
        )


def _metric(column: st.delta_generator.DeltaGenerator, label: str, value: str, beside: str) -> None:
    column.metric(label, value, beside, delta_arrow="off", delta_color="off")


def _bar(plan: training_pb2.TrainingPlan) -> dict[str, object]:
    """One bar of all parts, and a line where the memory of each machine ends."""
    order = [words.memory_part(part.part) for part in plan.memory]
    parts = [
        {"part": name, "GiB": part.size_bytes / _GIB, "order": number}
        for number, (name, part) in enumerate(zip(order, plan.memory, strict=True))
    ]
    ends: list[_End] = [{"GiB": fit.available_bytes / _GIB, "worker": _short(fit)} for fit in plan.fits]
    axis = {"field": "GiB", "type": "quantitative", "title": "GiB"}
    color = {
        "field": "part",
        "type": "nominal",
        "sort": order,
        "title": None,
        "legend": {"orient": "bottom"},
        "scale": {"domain": order, "scheme": "tableau10"},
    }
    tooltip = [{"field": "part", "title": say("内訳", "part")}, {"field": "GiB", "format": ".3f"}]
    bar = {
        "data": {"values": parts},
        "mark": {"type": "bar", "height": 28},
        "encoding": {"x": {**axis, "stack": "zero"}, "color": color, "order": {"field": "order"}, "tooltip": tooltip},
    }
    line = {
        "data": {"values": ends},
        "mark": {"type": "rule", "strokeWidth": 2, "color": _END_COLOR},
        "encoding": {"x": axis, "tooltip": [{"field": "worker"}, {"field": "GiB", "format": ".1f"}]},
    }
    widest = max([plan.memory_bytes, *(fit.available_bytes for fit in plan.fits)]) / _GIB
    names = [
        _names([end for end in ends if (end["GiB"] > widest / 2) == right], axis, right=right)
        for right in (True, False)
    ]
    return {"layer": [bar, line, *names] if ends else [bar], "height": _BAR_HEIGHT}


def _names(ends: list[_End], axis: dict[str, str], *, right: bool) -> dict[str, object]:
    """The machines' names beside their lines, on the side where there is room."""
    beside = {"align": "right", "dx": -6} if right else {"align": "left", "dx": 6}
    return {
        "data": {"values": ends},
        "mark": {"type": "text", "fontSize": 12, "color": _END_COLOR, **beside},
        "encoding": {"x": axis, "y": {"value": 6}, "text": {"field": "worker"}},
    }


def _short(fit: training_pb2.PlanFit) -> str:
    return f"{fit.worker} · {wording.size(fit.available_bytes)}"
