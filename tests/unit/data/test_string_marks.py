"""Strings found in blocks of JSON lines: only in UTF-8, and with as many characters as Python counts."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from services.data_service.validation.string_marks import mark_strings

EDGES = [0x7E, 0x80, 0x9F, 0xA0, 0xA1, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFC, 0xFFFE, 0xFFFF, 0x10000,
         0x3FFFF, 0x40000, 0x10FFFF]  # fmt: skip
BYTES = st.lists(
    st.sampled_from([0x22, 0x0A, 0x0D, 0x41, 0x5C, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBD, 0xBF, 0xC0, 0xC1, 0xC2,
                     0xC3, 0xDF, 0xE0, 0xE1, 0xE3, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF])
).map(bytes)  # fmt: skip


@given(BYTES | st.binary())
def test_what_is_no_utf8_or_holds_controls_has_no_marks(block: bytes) -> None:
    if mark_strings(block) is None:
        return
    text = block.decode()
    assert not any(
        ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 or each == "\ufffd"
        for each in text.replace("\r\n", "").replace("\n", "")
    )


@given(
    st.text(
        st.sampled_from(list(map(chr, EDGES)))
        | st.characters(min_codepoint=0xA0, exclude_characters="\ufffd", exclude_categories=["Cs"])
    )
)
@example("".join(map(chr, [0x7E, *EDGES[3:]])))
def test_all_other_text_has(text: str) -> None:
    legal = "".join(each for each in text if not 0x7F <= ord(each) < 0xA0)
    block = f'"{legal}"\n"\\n\\\\\\""'.encode()
    marks = mark_strings(block)
    assert marks is not None
    within = len(legal.encode())
    assert marks.quotes.tolist() == [0, within + 1, within + 3, within + 10]
    assert marks.line_starts.tolist() == [0, within + 3, len(block) + 1]
    places = np.array([0, *np.cumsum([len(each.encode()) for each in legal], dtype=int)]) + 1
    counted = places - 1 - marks.continuations.between(np.ones_like(places), places)
    assert counted.tolist() == list(range(len(legal) + 1))
