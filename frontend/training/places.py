"""Room for what is wrong with a field, right below it."""

from __future__ import annotations

import streamlit as st
from aift import AiftError
from streamlit.delta_generator import DeltaGenerator

from frontend.session import literal, say, show_problem


class Places:
    """One place a field, by the last part of its name in the contract."""

    def __init__(self) -> None:
        self._places: dict[str, DeltaGenerator] = {}

    def make(self, name: str) -> None:
        """Leaves room here for what may be wrong with a field."""
        self._places[name] = st.empty()

    def show(self, error: AiftError) -> None:
        """Tells a refused call here as a whole, and each violation at its field."""
        for violation in error.violations:
            place = self._places.get(violation.field.rpartition(".")[2])
            if place is not None:
                place.error(literal(say(violation.message_ja, violation.message_en)))
        show_problem(error)
