"""Text comes in whole characters and ends before a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.inference_service.engines.detokenizer import Detokenizer


class Bytes:
    """A tokenizer whose tokens are single bytes, as byte fallback makes them."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return bytes(token_ids).decode("utf-8", errors="replace")


def pieces(text: str, stop: Sequence[str] = (), prompt: str = "質問") -> tuple[list[str], bool]:
    detokenizer = Detokenizer(Bytes(), list(prompt.encode()), stop)
    shown = []
    for byte in text.encode():
        shown.append(detokenizer.push(byte))
        if detokenizer.stopped:
            return shown, True
    shown.append(detokenizer.flush())
    return shown, detokenizer.stopped


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\ufffd")))
def test_nothing_is_lost_and_no_piece_holds_half_a_character(text: str) -> None:
    shown, _ = pieces(text)
    assert "".join(shown) == text
    assert all("\ufffd" not in piece for piece in shown)


def test_characters_wait_until_they_are_whole() -> None:
    shown, _ = pieces("東")
    assert shown == ["", "", "東", ""]


def test_a_character_that_stays_incomplete_is_shown_as_such_at_the_end() -> None:
    detokenizer = Detokenizer(Bytes(), [], ())
    assert [detokenizer.push(byte) for byte in "東".encode()[:2]] == ["", ""]
    assert detokenizer.flush() == "\ufffd"


def test_text_ends_before_a_stop_string() -> None:
    shown, stopped = pieces("答えです。\n質問: 次", stop=["\n質問:"])
    assert stopped
    assert "".join(shown) == "答えです。"


def test_the_beginning_of_a_stop_string_is_held_back_and_released() -> None:
    shown, stopped = pieces("a\nb", stop=["\n質問:"])
    assert not stopped
    assert "".join(shown) == "a\nb"


@given(st.text(alphabet="ab\n", max_size=30), st.lists(st.text(alphabet="ab\n", min_size=1, max_size=4), max_size=3))
def test_stops_agree_with_searching_the_whole_text(text: str, stop: list[str]) -> None:
    shown, stopped = pieces(text, stop)
    ends = [text.find(word) for word in stop if word in text]
    assert stopped == bool(ends)
    if not ends:
        assert "".join(shown) == text
    else:
        assert text.startswith("".join(shown))
        assert not any(word in "".join(shown) for word in stop)
