"""Wrong usage of the command, in Japanese, as the typer that is installed words it."""

import pytest
from aift.cli.app import run
from aift.cli.usage_words import japanese


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--priority", "300"], "--priority の値が正しくありません。100 以下で指定してください。"),
        (["train", "--priority", "x"], "--priority の値が正しくありません。整数で指定してください。"),
        (["plan", "--processes", "10000000000"], "--processes の値が正しくありません。64 以下で指定してください。"),
        (
            ["generate", "m", "p", "--temperature", "x"],
            "--temperature の値が正しくありません。数値で指定してください。",
        ),
        (["jobs", "list", "--bogus"], "オプション --bogus はありません。"),
        (["jobs", "list", "--limt", "3"], "オプション --limt はありません。--limit のことですか。"),
        (["jobs", "list", "--limit"], "--limit には値が必要です。"),
        (["jobs", "show"], "job を指定してください。"),
        (["jobs", "show", "a", "b"], "余分な引数です: b"),
        (["frobnicate"], "コマンド frobnicate はありません。"),
    ],
)
def test_wrong_usage_is_told_in_japanese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("AIFT_LANG", "ja")
    assert run(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Invalid value for '--priority': 300 is not in the range 0<=x<=100.", "300 は範囲 0<=x<=100 の外です。"),
        ("Invalid value for '--priority': 'x' is not a valid int.", "整数で指定してください。"),
        ("Invalid value for '--only': 'x' is not one of 'a', 'b'.", "'x' is not one of 'a', 'b'."),
        ("No such option: --limt Did you mean --limit?", "オプション --limt はありません。--limit のことですか。"),
    ],
)
def test_older_ones_word_it_otherwise(message: str, said: str) -> None:
    assert (japanese(message) or "").endswith(said)


def test_what_is_not_known_is_told_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIFT_LANG", "ja")
    assert japanese("Something else.") is None
    assert run(["jobs"]) == 2
    assert "watch" in "".join(capsys.readouterr())
