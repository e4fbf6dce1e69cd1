"""Steps that change texts: normalising, redacting, cutting."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.data_service.preparation.chunking import chunks, spans
from services.data_service.preparation.normalization import full_width_kana, nfkc, normaliser
from services.data_service.preparation.redaction import (
    check_digit,
    redact_emails,
    redact_my_numbers,
    redact_phone_numbers,
    redactor,
)
from services.data_service.preparation.rows import map_texts
from services.data_service.recipe import Chunking, Normalization, Redaction

JAPANESE = st.text(st.sampled_from("あいアガｱｶﾞﾊﾟｰ｡｢｣ﾞﾟ漢①㈱Ａ１a1 　\n。！？がは\u3099👩\u200d🔧\U0001f3fd"))


@pytest.mark.parametrize(
    ("half", "full"),
    [
        ("ｶﾞｷﾞﾊﾟﾋﾟ", "ガギパピ"),
        ("ｱｲｳ｡｢ｴ｣､ｵ･ｰ", "アイウ。「エ」、オ・ー"),
        ("ｳﾞ", "ヴ"),
        ("ｱﾞ", "ア゛"),
        ("ｼｽﾃﾑＡ１①㈱", "システムＡ１①㈱"),
        ("plain ascii", "plain ascii"),
    ],
)
def test_half_width_kana(half: str, full: str) -> None:
    assert full_width_kana(half) == full


def test_nfkc_changes_more() -> None:
    assert nfkc("ｶﾞＡ１①㈱㍿") == "ガA11(株)株式会社"
    assert normaliser(Normalization.NONE) is None


@given(JAPANESE)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    for normalise in (full_width_kana, nfkc):
        once = normalise(text)
        assert normalise(once) == once


PHONES = [
    "03-1234-5678", "０３－１２３４－５６７８", "０９０ー１２３４ー５６７８", "(03)1234-5678", "03(1234)5678", "（０３）１２３４－５６７８",
    "03 1234 5678", "0467-12-3456", "011-123-4567", "01234-5-6789", "04-2912-3456", "(0467)12-3456", "090-1234-5678",
    "080 1234 5678", "070−1234−5678", "09012345678", "050-1234-5678", "0120-123-456", "0120-12-3456", "0120123456",
    "0800-123-4567", "0570-012-345", "+81-90-1234-5678", "+81 3 1234 5678", "+819012345678", "+81(0)3-1234-5678",
]  # fmt: skip
NO_PHONES = [
    "2024-01-15", "2024/01/15 10:30", "2024年01月15日", "1,234,567円", "価格は12345678901円", "注文番号 0123456789",
    "ISBN 978-4-06-123456-7", "192.168.0.1", "1234-5678-9012-3456", "0.0312345678", "A-03-1234-5678",
    "03-1234-5678-9", "10:00-12:00", "0312-34-5678", "〒123-4567", "第0120号", "03-12345-678", "12-090-1234-5678",
    "001-234-5678", "円周率 3.14159265358979", "会員 100901234567800",
]  # fmt: skip


@pytest.mark.parametrize("phone", PHONES)
def test_phone_numbers(phone: str) -> None:
    assert redact_phone_numbers(phone) == "[PHONE]"
    assert redact_phone_numbers(f"電話は{phone}です。") == "電話は[PHONE]です。"


@pytest.mark.parametrize("text", NO_PHONES)
def test_what_is_no_phone_number(text: str) -> None:
    assert redact_phone_numbers(text) == text


def test_ten_digits_in_a_row_need_a_word_for_it() -> None:
    assert redact_phone_numbers("TEL:0312345678 FAX 0312345679") == "TEL:[PHONE] FAX [PHONE]"
    assert redact_phone_numbers("品番 0312345678") == "品番 0312345678"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("taro@example.com", "[EMAIL]"),
        ("センターtaro.yamada+a@mail.example.co.jpまで", "センター[EMAIL]まで"),
        ("ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[EMAIL]"),
        ("(a_b@x-y.jp)、<c@d.org>", "([EMAIL])、<[EMAIL]>"),
        ("@taro さん、a@b、x@localhost、1個@100円、x@y.z1", "@taro さん、a@b、x@localhost、1個@100円、x@y.z1"),
    ],
)
def test_emails(text: str, redacted: str) -> None:
    assert redact_emails(text) == redacted


def test_my_numbers() -> None:
    for eleven in ("12345678901", "98765432109", "00000000001"):
        number = eleven + str(check_digit(eleven))
        spaced = f"{number[:4]} {number[4:8]} {number[8:]}"
        wide = number.translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789"})
        for written in (number, spaced, spaced.replace(" ", "-"), wide):
            assert redact_my_numbers(f"番号は{written}です") == "番号は[MY_NUMBER]です"
        wrong = eleven + str((int(number[-1]) + 1) % 10)
        for text in (wrong, f"{number}0", f"1{number}", f"{spaced} 3456", f"{number[:4]}-{number[4:]}"):
            assert redact_my_numbers(text) == text


def test_the_check_digit_is_the_official_one() -> None:
    # 1*6+2*5+3*4+4*3+5*2+6*7+7*6+8*5+9*4+0*3+1*2 = 212 = 19 * 11 + 3
    assert check_digit("12345678901") == 8
    assert check_digit("00000000000") == 0


def test_a_time_is_no_my_number_unless_said_so() -> None:
    times = [f"2024{month:02}{day:02}1200" for month in range(1, 13) for day in range(1, 29)]
    times = [time for time in times if int(time[-1]) == check_digit(time[:-1])]
    assert times
    for time in times:
        assert redact_my_numbers(f"記録 {time}") == f"記録 {time}"
        assert redact_my_numbers(f"マイナンバー: {time}") == "マイナンバー: [MY_NUMBER]"


def test_all_of_them_together() -> None:
    redact = redactor(Redaction(emails=True, phone_numbers=True, my_numbers=True))
    assert redact is not None
    assert redact("123456789018、090-1234-5678、a@b.jp") == "[MY_NUMBER]、[PHONE]、[EMAIL]"
    assert redactor(Redaction()) is None


@given(st.text("0123456789０-ー ()@.aあ+", max_size=60))
def test_only_marks_take_the_place_of_text(text: str) -> None:
    redact = redactor(Redaction(emails=True, phone_numbers=True, my_numbers=True))
    assert redact is not None
    at = 0
    for piece in re.split(r"\[(?:EMAIL|PHONE|MY_NUMBER)\]", redact(text)):
        at = text.index(piece, at) + len(piece)


def test_names_of_speakers_and_fields_stay() -> None:
    row = {
        "ﾅﾏｴ": "ｱ",
        "messages": [{"role": "ｱ", "content": "ｱ"}, {"from": "ｱ", "value": "ｱ"}],
        "n": 1,
        "tags": ["ｱ", None],
    }
    changed = map_texts(row, full_width_kana)
    assert changed == {
        "ﾅﾏｴ": "ア",
        "messages": [{"role": "ｱ", "content": "ア"}, {"from": "ｱ", "value": "ア"}],
        "n": 1,
        "tags": ["ア", None],
    }
    assert map_texts(changed, full_width_kana) is changed


@given(JAPANESE, st.integers(1, 12), st.integers(0, 6))
def test_pieces_cover_the_text(text: str, longest: int, overlap: int) -> None:
    how = Chunking(max_characters=longest, overlap_characters=min(overlap, longest // 2))
    found = spans(text, how)
    assert found[0][0] == 0
    assert found[-1][1] == len(text)
    rebuilt, end_before = "", 0
    for start, end in found:
        assert 0 <= end - start <= longest
        assert end_before - how.overlap_characters <= start <= end_before
        rebuilt += text[end_before:end]
        end_before = end
    assert rebuilt == text
    starts = [start for start, _ in found]
    assert starts == sorted(set(starts))


@given(JAPANESE, st.integers(1, 12))
def test_pieces_without_overlap_are_the_text(text: str, longest: int) -> None:
    how = Chunking(max_characters=longest)
    assert "".join(text[start:end] for start, end in spans(text, how)) == text
    assert "".join("".join(chunks(text, how)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("一つ目の文。二つ目の文です。三つ目。", ["一つ目の文。", "二つ目の文です。", "三つ目。"]),
        ("「はい。」と彼らは言った。そう。", ["「はい。」", "と彼らは言った。", "そう。"]),
        ("あいうえお\nかきくけこさしす", ["あいうえお", "かきくけこさしす"]),
        ("あいうえおか\n\nきくけ。こさし", ["あいうえおか", "きくけ。こさし"]),
        ("あいうえおかきくけこさし", ["あいうえおかきくけこ", "さし"]),
    ],
)
def test_where_texts_are_cut(text: str, pieces: list[str]) -> None:
    assert chunks(text, Chunking(max_characters=10)) == pieces


def test_a_letter_keeps_its_marks() -> None:
    family = "👩\u200d👩\u200d👧"
    text = "あいうえおかきく" + family + "は\u3099"
    first, *_ = chunks(text, Chunking(max_characters=10))
    assert first == "あいうえおかきく"
    assert "".join(chunks(family * 5, Chunking(max_characters=2))) == family * 5
