"""What parsers of Python say is wrong with a text, in both languages; words that are not known are kept as they are."""

from __future__ import annotations

import json
from typing import Any

_JSON = {
    "Unterminated string starting at": ("a string is not closed", "文字列が閉じられていません"),
    "Invalid control character at": (
        "a line break, tab or control character stands in a string as it is",
        "文字列の中に改行・タブ・制御文字がそのまま入っています",
    ),
    "Invalid \\escape": (
        "a backslash is followed by something that JSON does not know",
        "\\ の後の文字が正しくありません",
    ),
    "Invalid \\uXXXX escape": ("\\u is not followed by four hexadecimal digits", "\\u の後に 16 進数 4 桁がありません"),
    "Expecting property name enclosed in double quotes": (
        "the name of a field in double quotes is missing, perhaps because of a comma too many",
        "二重引用符で囲まれた項目名がありません（余分なカンマの可能性があります）",
    ),
    "Expecting ':' delimiter": ("a colon is missing behind the name of a field", "項目名の後にコロンがありません"),
    "Expecting ',' delimiter": (
        "a comma or a closing bracket is missing, or a quote in a string lacks its backslash",
        "カンマか閉じ括弧がないか、文字列内の引用符に \\ が付いていません",
    ),
    "Expecting value": ("a value is missing or not written as JSON has it", "値がないか、JSON の書き方ではありません"),
    "Extra data": ("something follows its end", "JSON の終わりの後に続きがあります"),
}
_CSV = {
    "unexpected end of data": ("the file ends within it", "閉じられないままファイルが終わっています"),
    "line contains NUL": ("there is a NUL", "NUL が含まれています"),
}
_BEHIND_QUOTE = ("text follows a closing quote", "閉じる引用符の直後に文字があります")
_DIGITS = ("a number has too many digits", "数値の桁数が多すぎます")
_NESTED = ("it is nested too deeply", "入れ子が深すぎます")


def said_of_json(error: ValueError | RecursionError) -> dict[str, Any]:
    """Why a text is no JSON, as `detail` and `detail_ja` of a reason."""
    if isinstance(error, RecursionError):
        return _details(*_NESTED)
    if isinstance(error, json.JSONDecodeError):
        message = error.msg.split(": ")[0]
        return _details(*_JSON.get(message, (message, message)))
    return _details(*_DIGITS)


def said_of_csv(error: Exception) -> dict[str, Any]:
    """What is wrong with a quote of a table, in the same way."""
    message = str(error)
    if "expected after" in message:
        return _details(*_BEHIND_QUOTE)
    return _details(*_CSV.get(message, (message, message)))


def _details(en: str, ja: str) -> dict[str, Any]:
    return {"detail": en, "detail_ja": ja}
