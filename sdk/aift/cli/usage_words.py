"""What typer says of wrong arguments, in Japanese. It has no translations of its own, and words them by its version."""

import re
from typing import Final

_WORDS: Final = tuple(
    (re.compile(pattern), ja)
    for pattern, ja in (
        (r"No such option:? '?(\S+?)'? \(Possible options: (.+)\)", "オプション {0} はありません。{1} のことですか。"),
        (r"No such option:? '?(\S+?)'?\.? Did you mean (.+)\?", "オプション {0} はありません。{1} のことですか。"),
        (r"No such option:? '?(\S+?)'?\.?", "オプション {0} はありません。"),
        (r"No such command '(.+?)'\.", "コマンド {0} はありません。"),
        (r"Missing command\.", "コマンドを指定してください。"),
        (r"Missing (?:argument|option|parameter) '(.+?)'\.", "{0} を指定してください。"),
        (r"Got unexpected extra arguments?(?:\(s\))? \((.+)\)", "余分な引数です: {0}"),
        (r"Option '(.+)' requires an argument\.", "{0} には値が必要です。"),
        (r"Option '(.+)' does not take a value\.", "{0} に値は指定できません。"),
        (r"Input should be less than or equal to (\S+)", "{0} 以下で指定してください。"),
        (r"Input should be greater than or equal to (\S+)", "{0} 以上で指定してください。"),
        (r"(.+) is not in the range (.+)\.", "{0} は範囲 {1} の外です。"),
        (r"Input should be a valid integer.*|'.*' is not a valid int(?:eger)?\.", "整数で指定してください。"),
        (r"Input should be a valid number.*|'.*' is not a valid float\.", "数値で指定してください。"),
    )
)
_VALUE = re.compile(r"Invalid value for '?(.+?)'?: (.*)", re.DOTALL)


def japanese(message: str) -> str | None:
    """The message in Japanese; None for a kind that is not known here."""
    if of_value := _VALUE.fullmatch(message):
        name, why = of_value.groups()
        return f"{name} の値が正しくありません。{japanese(why) or why}"
    for pattern, ja in _WORDS:
        if found := pattern.fullmatch(message):
            return ja.format(*found.groups())
    return None
