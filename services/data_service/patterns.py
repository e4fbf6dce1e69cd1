"""Regular expressions of the user's: refused before anything is done with them, in words that help to mend them."""

from __future__ import annotations

import regex

from services.core.errors import Violation

MAX_CHARACTERS = 1000
"""A longer one may take the service seconds to read."""
_SHOWN_CHARACTERS = 200
_JA = {
    "missing )": "閉じ括弧 ) がありません",
    "unbalanced parenthesis": "対応する開き括弧 ( がない ) があります",
    "unterminated character set": "文字クラスを閉じる ] がありません",
    "missing ]": "文字クラスを閉じる ] がありません",
    "expected }": "閉じ括弧 } がありません",
    "nothing to repeat": "繰り返し（* + ? {}）の前に、繰り返すものがありません",
    "multiple repeat": "繰り返し（* + ? {}）が続いています",
    "min repeat greater than max repeat": "繰り返しの最小回数が最大回数より大きくなっています",
    "repeat count too big": "繰り返しの回数が大きすぎます",
    "bad escape (end of pattern)": "末尾の \\ の後に文字がありません",
    "bad character range": "文字クラスの範囲（a-z など）の順序が逆です",
    "unknown extension": "(? の後の書き方が正しくありません",
    "unknown property": "\\p{…} や [:…:] の名前が正しくありません",
    "unknown property value": "\\p{…} の値が正しくありません",
    "undefined character name": "\\N{…} の文字名が正しくありません",
    "unknown group": "その名前のグループはありません",
    "invalid group reference": "その番号のグループはありません",
    "bad character in group name": "グループ名に使えない文字があります",
    "missing group name": "グループ名がありません",
}
"""What the engine says, in Japanese."""


def misfit(field: str, pattern: str) -> Violation | None:
    """Why a pattern cannot be searched for; None where it can."""
    if len(pattern) > MAX_CHARACTERS:
        en = f"Has {len(pattern)} characters; at most {MAX_CHARACTERS} are allowed. Split it into several patterns."
        ja = f"{len(pattern)} 文字あります。{MAX_CHARACTERS} 文字までです。複数のパターンに分けてください。"
        return Violation(field, "OUT_OF_BOUNDS", en, ja)
    try:
        regex.compile(pattern)
    except regex.error as error:
        position = min(error.pos or 0, len(pattern)) + 1
        said = str(error.msg)
        cause = f"{said} at character {position}"
        cause_ja = f"{position} 文字目: {_JA[said]}" if said in _JA else f"{position} 文字目（原文: {said}）"
        return _unreadable(field, pattern, cause, cause_ja)
    except RecursionError:
        return _unreadable(field, pattern, "it is nested too deeply", "入れ子が深すぎます")
    except ValueError as error:  # flags that exclude each other
        return _unreadable(field, pattern, str(error), f"原文: {error}")
    return None


def _unreadable(field: str, pattern: str, cause: str, cause_ja: str) -> Violation:
    shown = pattern if len(pattern) <= _SHOWN_CHARACTERS else pattern[:_SHOWN_CHARACTERS] + "…"
    remedy = "Correct it; a \\ before a special character stands for the character itself."
    remedy_ja = "修正してください。記号そのものを表すには、前に \\ を付けます。"
    en = f"{shown} is no regular expression: {cause}. {remedy}"
    ja = f"{shown} は正規表現として正しくありません（{cause_ja}）。{remedy_ja}"
    return Violation(field, "INVALID_PATTERN", en, ja)
