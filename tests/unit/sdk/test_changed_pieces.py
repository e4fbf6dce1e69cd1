"""What is shown of rows that changed: whole words, with what is around them, and all of it in the right order."""

from __future__ import annotations

import json

import pytest
from aift.changes import changed_pieces, pieces
from aift.data.v1 import data_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

LONG = "吾輩は猫である。名前はまだ無い。\n" * 300


def shown(before: data_pb2.Row, after: data_pb2.Row) -> str:
    marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    found = changed_pieces(data_pb2.RowChange(before=before, after=after))
    return "".join(marks[kind].format(piece) for kind, piece in found)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("電話は03-1234-5678です。", "電話は[PHONE]です。", "電話は[-03-1234-5678-]{+[PHONE]+}です。"),
        ("ﾃﾞｰﾀﾍﾞｰｽを使う", "データベースを使う", "[-ﾃﾞｰﾀﾍﾞｰｽ-]{+データベース+}を使う"),
        ("the quick fox jumps high", "the quick dog jumps high", "the quick [-fox-]{+dog+} jumps high"),
        ("送料は？\n500円です。", "送料は?\n500円です。", "送料は[-？-]{+?+}\n500円です。"),
        ("首都は？\nWhat?", "首都は？\nなに", "首都は？\n[-What?-]{+なに+}"),
        ("a", "a\n(b)", "a{+\n(b)+}"),
    ],
)
def test_whole_words_are_told(before: str, after: str, expected: str) -> None:
    assert shown(data_pb2.Row(completion=before), data_pb2.Row(completion=after)) == expected


@pytest.mark.parametrize("rest", [LONG, LONG.replace("\n", "").replace("。", "、")])
def test_a_change_in_a_long_row_is_shown_with_what_is_around_it(rest: str) -> None:
    rows = [data_pb2.Row(prompt=f"{rest}株式会社", completion=f"{answer}円です。{rest}") for answer in ("500", "7,000")]
    text = shown(*rows)
    assert "株式会社\n[-500-]{+7,000+}円です。" in text
    assert (text[0], text[-1], len(text) < 200) == ("…", "…", True)


def test_rows_that_only_have_other_names_are_compared_by_them() -> None:
    before = {"prompt": "問い", "completion": "答え", "n": -12}
    after = {"instruction": "問い", "response": "答え", "n": -13}
    rows = [
        data_pb2.Row(prompt="問い", completion="答え", json=json.dumps(row, ensure_ascii=False))
        for row in (before, after)
    ]
    text = shown(*rows)
    assert text == (
        '{[-"prompt"-]{+"instruction"+}: "問い", [-"completion"-]{+"response"+}: "答え", "n": [--12-]{+-13+}}'
    )


def test_long_rows_that_are_new_or_gone_are_cut() -> None:
    for change in (
        data_pb2.RowChange(before=data_pb2.Row(completion="頭" + LONG + "尾")),
        data_pb2.RowChange(after=data_pb2.Row(completion="頭" + LONG + "尾")),
        data_pb2.RowChange(before=data_pb2.Row(completion="頭" + LONG + "尾"), after=data_pb2.Row(completion="x")),
    ):
        kind, piece = changed_pieces(change)[0]
        assert kind != "same"
        assert (piece[0], piece[-1], "…" in piece, len(piece) < 700) == ("頭", "尾", True, True)


TEXTS = st.text(st.sampled_from("あいう漢字ab1 。\n、{\"':"), max_size=40)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_the_pieces_are_the_texts(before: str, after: str) -> None:
    found = pieces(before, after)
    assert "".join(piece for kind, piece in found if kind != "added") == before
    assert "".join(piece for kind, piece in found if kind != "removed") == after
