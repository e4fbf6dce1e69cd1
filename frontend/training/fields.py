"""One hyperparameter as a field: made from the contract, with the SDK's help text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import streamlit as st
from aift.hyperparameter_help import HELP
from aift.hyperparameters import FIELDS, choices
from google.protobuf.descriptor import FieldDescriptor
from streamlit.delta_generator import DeltaGenerator

from frontend.session import say
from frontend.training import words
from frontend.training.draft import Draft
from frontend.training.places import Places

_ON_BY_DEFAULT: Final = frozenset({"packing"})
_STEPS: Final[Mapping[str, float]] = {"learning_rate": 1e-5, "num_train_epochs": 1.0, "lora_alpha": 1.0}
_SMALL_STEP: Final = 0.01


def show_field(draft: Draft, places: Places, column: DeltaGenerator, name: str) -> None:
    """The field in a column, with room below for what is wrong with it. Left empty it takes its default."""
    with column:
        descriptor = FIELDS[name]
        if descriptor.enum_type is not None:
            value = _choice(draft, name)
        else:
            value = _WIDGETS.get(descriptor.type, _text)(draft, name)
        places.make(name)
    draft.keep(name, value)


def show_choice(draft: Draft, places: Places, column: DeltaGenerator, name: str, among: tuple[str, ...]) -> None:
    """The same for a choice of which only some are possible now."""
    with column:
        value = st.selectbox(
            words.field(name),
            among,
            key=draft.bind(name, among[0], among=among),
            format_func=words.method,
            help=help_of(name),
        )
        places.make(name)
    draft.keep(name, value)


def help_of(name: str) -> str:
    """What the field means, the manual's advice, and its name on the command line and in files."""
    en, ja = HELP[name]
    return " ".join(part for part in (say(ja, en), words.field_help(name), f"`{name}`") if part)


def _choice(draft: Draft, name: str) -> object:
    options = choices(name)
    return st.selectbox(words.field(name), options, key=draft.bind(name, options[0], among=options), help=help_of(name))


def _number(draft: Draft, name: str) -> object:
    return st.number_input(
        words.field(name),
        min_value=0.0,
        value=None,
        step=_STEPS.get(name, _SMALL_STEP),
        format="%g",
        key=draft.bind(name),
        placeholder=_default(),
        help=help_of(name),
    )


def _integer(draft: Draft, name: str) -> object:
    return st.number_input(
        words.field(name),
        min_value=0,
        value=None,
        step=1,
        key=draft.bind(name),
        placeholder=_default(),
        help=help_of(name),
    )


def _switch(draft: Draft, name: str) -> object:
    return st.checkbox(words.field(name), key=draft.bind(name, name in _ON_BY_DEFAULT), help=help_of(name))


def _text(draft: Draft, name: str) -> object:
    written = st.text_input(words.field(name), key=draft.bind(name, ""), placeholder=_default(), help=help_of(name))
    return written or None


def _default() -> str:
    return say("標準値", "default")


_WIDGETS: Final[Mapping[int, Callable[[Draft, str], object]]] = {
    FieldDescriptor.TYPE_DOUBLE: _number,
    FieldDescriptor.TYPE_INT32: _integer,
    FieldDescriptor.TYPE_INT64: _integer,
    FieldDescriptor.TYPE_BOOL: _switch,
}
