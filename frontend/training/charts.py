"""What was measured, step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import streamlit as st
from aift.training.v1 import training_pb2

from frontend.session import say, signed_in_client
from frontend.training import words

_POINTS = 500
_HEIGHT = 220
_COLUMNS = 2
_FEW = 30
# Significant digits, of Vega: 8.148, 0.0003, 12,350.
_DIGITS = ",.4~r"
_FIRST = (
    "loss",
    "eval_loss",
    "reward_accuracy",
    "reward_margin",
    "eval_reward_accuracy",
    "eval_reward_margin",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "memory_bytes",
    "gpu_utilization",
    "gpu_memory_used_bytes",
)
# Shown in other units than measured in: this much is one.
_UNITS = {"memory_bytes": float(1 << 30), "gpu_memory_used_bytes": float(1 << 30), "gpu_utilization": 0.01}

Series = dict[str, list[dict[str, float]]]


def show_charts(job: training_pb2.TrainingJob) -> None:
    """A chart for each metric that there is, the best known ones first."""
    series = series_of(signed_in_client().training.metrics(job.name, max_points=_POINTS))
    if not series:
        st.caption(say("最初のステップを待っています。", "Waiting for the first step."))
        return
    names = [name for name in _FIRST if name in series] + sorted(name for name in series if name not in _FIRST)
    columns = st.columns(_COLUMNS)
    for number, name in enumerate(names):
        with columns[number % _COLUMNS]:
            st.caption(words.measured(name))
            st.vega_lite_chart(chart(name, series[name]), width="stretch")


def chart(name: str, points: list[dict[str, float]]) -> dict[str, object]:
    """A line through the points of a metric; the points themselves where there are few, since one makes no line."""
    x = {"field": "step", "type": "quantitative", "axis": {"title": say("ステップ", "step"), "tickMinStep": 1}}
    y = {"field": name, "type": "quantitative", "axis": {"title": "", "format": _DIGITS}}
    return {
        "data": {"values": points},
        "height": _HEIGHT,
        "mark": {"type": "line", "point": len(points) <= _FEW, "tooltip": True},
        "encoding": {"x": x, "y": y},
    }


def series_of(metrics: Sequence[training_pb2.Metric]) -> Series:
    """Points by metric; memory in GiB, use in per cent."""
    series: Series = defaultdict(list)
    for metric in metrics:
        for name, value in metric.values.items():
            series[name].append({"step": metric.step, name: value / _UNITS.get(name, 1.0)})
    return dict(series)
