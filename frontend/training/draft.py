"""What is filled in on the fine-tune page.

The visitor's session keeps it while they look at other pages, and the address through a reload; a link to the page may
bring any part of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import streamlit as st
from aift import AiftError
from aift.hyperparameters import FIELDS, as_settings, hyperparameters
from aift.training.v1 import training_pb2

from frontend.session import show_problem

_KEPT, _TOLD, _INTENT = "finetune-draft", "finetune-address", "finetune-intent"
_TEXTS = ("data", "base", "start", "begin", "eval_data", "model", "display_name", "prompts", "gpu", "preset")
_NUMBERS = ("processes", "priority")
_NAMES = (*_TEXTS, *_NUMBERS, *FIELDS)


class Draft:
    """The fields by name: hyperparameters by their canonical ones, and those of the page."""

    def __init__(self) -> None:
        self._kept: dict[str, object] = st.session_state.setdefault(_KEPT, {})
        # What we wrote into the address. A run may be broken off before it writes, so it says less than what is kept.
        self._told: dict[str, str | None] = st.session_state.setdefault(_TOLD, {})
        self._read_address()

    def get(self, name: str) -> object:
        """What is filled in; None when nothing is."""
        return self._kept.get(name)

    def text(self, name: str) -> str:
        """What is filled in, as a text without space around it."""
        return str(self._kept.get(name) or "").strip()

    def bind(self, name: str, default: object = None, *, among: Sequence[str] | None = None) -> str:
        """The key for a field's widget, which begins with what is filled in. A choice `among` these stays one of them."""
        key = _key(name)
        if key not in st.session_state:
            st.session_state[key] = self._kept.get(name, default)
        if among is not None and st.session_state[key] not in among:
            st.session_state[key] = default if default in among else among[0]
        return key

    def keep(self, name: str, value: object) -> None:
        """Takes over what a field's widget holds."""
        self._kept[name] = value

    def write(self, values: Mapping[str, object]) -> None:
        """Fills fields in; before their widgets are shown, or in a callback."""
        for name, value in values.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            self._kept[name] = shown
            st.session_state[_key(name)] = shown

    def take(self, job: training_pb2.TrainingJob) -> None:
        """Fills in what a job was made from, with what was changed on the way where memory was not enough."""
        spec = training_pb2.TrainingSpec()
        spec.CopyFrom(job.spec)
        spec.hyperparameters.MergeFrom(job.adjustments)
        self.write(
            {
                "data": spec.dataset_version,
                "eval_data": spec.eval_dataset_version,
                "begin": "version" if spec.start_from else "base",
                "base": spec.base_model,
                "start": spec.start_from,
                "model": spec.model.removeprefix("models/"),
                "prompts": "\n".join(spec.sample_prompts),
                "processes": spec.processes,
                "priority": job.priority,
                "display_name": job.display_name,
                "preset": "",
                **as_settings(spec.hyperparameters),
            }
        )

    def intent(self, content: str) -> str:
        """The id of what is meant by a click on start: the same for clicks in a row, and until one has succeeded."""
        known, before, _ = st.session_state.get(_INTENT, ("", "", False))
        made = str(before) if known == content else str(uuid.uuid4())
        st.session_state[_INTENT] = content, made, False
        return made

    def succeeded(self) -> None:
        """What was meant is done."""
        content, made, _ = st.session_state[_INTENT]
        st.session_state[_INTENT] = content, made, True

    def not_clicked(self) -> None:
        """The page is shown without a click: after a success, the next one means another job."""
        if st.session_state.get(_INTENT, ("", "", False))[2]:
            del st.session_state[_INTENT]

    def to_address(self) -> None:
        """Puts what is filled in into the address."""
        for name in _NAMES:
            value = self._kept.get(name)
            nothing = value is None or value == "" or (name in _NUMBERS and not value)
            written = None if nothing else str(value)
            if written is None:
                st.query_params.pop(name, None)
            elif st.query_params.get(name) != written:
                st.query_params[name] = written
            self._told[name] = written

    def _read_address(self) -> None:
        """What the address says otherwise than we put there came by a link, or from before a reload."""
        news = {name: st.query_params[name] for name in _NAMES if name in st.query_params}
        news = {name: written for name, written in news.items() if written != self._told.get(name)}
        if "data" in news and "objective" not in news:
            self._forget("objective")  # the data that a link brings decide it anew
        for name, written in news.items():
            self._told[name] = written
            try:
                self.write({name: _read(name, written)})
            except AiftError as error:
                show_problem(error)

    def _forget(self, name: str) -> None:
        self._kept.pop(name, None)
        st.session_state.pop(_key(name), None)


def _key(name: str) -> str:
    return f"draft-{name}"


def _read(name: str, written: str) -> object:
    """A field's value from the address. Raises AiftError where it is none."""
    if name in _NUMBERS:
        return int(written) if written.isdecimal() else 0
    if name in FIELDS:
        return as_settings(hyperparameters({name: written}))[name]
    return written
