"""What is to be learnt, and which rows that takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import streamlit as st
from aift.data.v1 import data_pb2
from aift.hyperparameters import choices

from frontend.session import say
from frontend.training import words
from frontend.training.draft import Draft

PREFERENCES: Final = ("dpo", "orpo", "kto")
"""Objectives that compare answers."""

_COMPARED = (data_pb2.ROW_FORM_PREFERENCE, data_pb2.ROW_FORM_LABELED)
_FORMS: Final[Mapping[str, tuple[data_pb2.RowForm.ValueType, ...]]] = {
    "pretraining": (data_pb2.ROW_FORM_TEXT,),
    "dpo": (data_pb2.ROW_FORM_PREFERENCE,),
    "orpo": (data_pb2.ROW_FORM_PREFERENCE,),
    "kto": (data_pb2.ROW_FORM_LABELED, data_pb2.ROW_FORM_PREFERENCE),
}


def choose_objective(draft: Draft, data: data_pb2.DatasetVersion | None) -> str:
    """The objective; until somebody chooses, the one for the form of the data that the address names."""
    known = choices("objective")
    chosen = st.radio(
        say("学習の目的", "Objective"),
        known,
        key=draft.bind("objective", _usual(data), among=known),
        format_func=lambda word: words.objective(word)[0],
        captions=[words.objective(word)[1] for word in known],
        horizontal=True,
        help=say(
            "DPO・ORPO は chosen / rejected、KTO は label 付きまたは chosen / rejected、"
            "継続事前学習は text のデータを使います。それ以外は SFT です。",
            "DPO and ORPO take chosen / rejected, KTO labels or chosen / rejected, continued pretraining plain text; "
            "SFT takes the rest.",
        ),
    )
    draft.keep("objective", chosen)
    return chosen


def fits(objective: str, form: data_pb2.RowForm.ValueType) -> bool:
    """Whether the objective learns from rows of this form."""
    return form in _FORMS[objective] if objective in _FORMS else form not in _COMPARED


def needed(objective: str) -> str:
    """The forms that an objective learns from, in words."""
    if objective not in _FORMS:
        return say("text、instruction、messages などの回答", "answers: text, instruction, messages and the like")
    return say(" または ", " or ").join(form_name(form) for form in _FORMS[objective])


def form_name(form: data_pb2.RowForm.ValueType) -> str:
    """A form as reports name it, such as "preference"."""
    return data_pb2.RowForm.Name(form).removeprefix("ROW_FORM_").lower().replace("_", "-")


def _usual(data: data_pb2.DatasetVersion | None) -> str:
    form = data.template.form if data else data_pb2.ROW_FORM_UNSPECIFIED
    return {data_pb2.ROW_FORM_PREFERENCE: "dpo", data_pb2.ROW_FORM_LABELED: "kto"}.get(form, "sft")
