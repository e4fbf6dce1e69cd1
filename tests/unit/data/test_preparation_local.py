"""A file of this machine into rows, without a service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.data_service import local_preparation
from services.data_service.recipe import Chunking
from services.data_service.text_rows import marked, pieces, read_lines

QUESTIONS = "質問: 有給は？\n回答: 10 日です。\n半年後です。\n\n質問：締め日は？\n回答：月末です。\n"
HEADINGS = "以下は指示です。\n\n### 指示:\n要約せよ\n\n### 応答:\n要約。\n\n以下は指示です。\n\n### 指示:\n訳せ\n\n### 応答:\n訳。\n"


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIFT_LANG", "en")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*arguments: object) -> int:
    return local_preparation.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (QUESTIONS, [("有給は？", "10 日です。\n半年後です。"), ("締め日は？", "月末です。")]),
        (HEADINGS, [("要約せよ", "要約。"), ("訳せ", "訳。")]),
        ("Q: 一\nA: 二\nQ: 三\nA: 四", [("一", "二"), ("三", "四")]),
        ("\ufeff質問: あ\r\n回答: い\r\n", [("あ", "い")]),
    ],
)
def test_questions_and_answers(tmp_path: Path, content: str, expected: list[tuple[str, str]]) -> None:
    source = tmp_path / "faq.txt"
    source.write_text(content, newline="")
    assert run("--input", source) == 0
    assert rows(tmp_path / "faq.jsonl") == [{"instruction": one, "response": other} for one, other in expected]
    assert [path.name for path in tmp_path.iterdir() if path != source] == ["faq.jsonl"]


def test_a_question_without_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "faq.txt"
    source.write_text("Q: 一\nA: 二\n\nQ: 答えなし\nQ: 三\nA: 四\n")
    assert run("--input", source) == 1
    assert "Row 2 (line 4)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["faq.txt"]


def test_a_text_in_pieces(tmp_path: Path) -> None:
    source, target = tmp_path / "novel.txt", tmp_path / "out.jsonl"
    text = "\n\n".join(f"第{i}章。" + "吾輩は猫である。" * 100 for i in range(100))
    source.write_text(text)
    recipe = {"chunking": {"max_characters": 200}}
    assert run("--input", source, "--output", target, "--recipe", json.dumps(recipe)) == 0
    made = [row["text"] for row in rows(target)]
    assert max(map(len, made)) <= 200
    assert "".join("".join(made).split()) == "".join(text.split())


def test_pieces_need_not_fit_into_memory() -> None:
    lines = (f"{i} 行目です。\n" for i in range(20_000))
    made = list(pieces(lines, Chunking(max_characters=50)))
    assert "".join("".join(made).split()) == "".join(f"{i}行目です。" for i in range(20_000))


def test_rows_as_text_with_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "raw.jsonl", tmp_path / "training_data.jsonl"
    source.write_text('{"instruction":"あ","response":"い"}\n{"instruction":"う","response":"え"}\n')
    assert run("--input", source, "--output", target, "--format", "text", "--validate") == 0
    assert rows(target) == [{"text": "質問: あ\n回答: い"}, {"text": "質問: う\n回答: え"}]
    said = capsys.readouterr().out
    assert "2 rows, valid" in said
    assert "TOO_FEW_ROWS" in said


def test_json_and_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.csv"
    source.write_text("prompt,completion\n" + "".join(f"ﾄｲ{i},答{i}\n" for i in range(60)))
    recipe = {"form": "messages", "normalization": "halfwidth-kana", "split": {"validation_share": 0.3}}
    assert run("--input", source, "--json", "--validate", "--recipe", json.dumps(recipe)) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["form"] == "MESSAGES"
    assert [Path(one["file"]).name for one in said["outputs"]] == ["a.jsonl", "a-validation.jsonl"]
    assert sum(one["rows"] for one in said["outputs"]) == 60
    assert [step["name"] for step in said["steps"]] == ["conversion", "normalization", "split"]
    assert said["report"]["rows"] == said["rows"] == len(rows(tmp_path / "a.jsonl"))
    assert "トイ" in rows(tmp_path / "a.jsonl")[0]["messages"][0]["content"]


def test_encodings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (codec, arguments) in enumerate((("cp932", ["--encoding", "cp932"]), ("utf-16", []))):
        source = tmp_path / f"{number}.txt"
        source.write_text(QUESTIONS, encoding=codec)
        assert run("--input", source, *arguments) == 0
        assert len(rows(tmp_path / f"{number}.jsonl")) == 2
    source = tmp_path / "wrong.txt"
    source.write_text(QUESTIONS, encoding="cp932")
    assert run("--input", source) == 1
    assert "NOT_UTF8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--input", "none.jsonl"], 2, "INVALID_ARGUMENT"),
        (["--input", "a.jsonl", "--output", "a.jsonl"], 2, "INVALID_ARGUMENT"),
        (["--input", "a.jsonl", "--recipe", "{"], 2, "INVALID_ARGUMENT"),
        (["--input", "a.jsonl", "--recipe", '{"form":"nonsense"}'], 2, "UNKNOWN_VALUE"),
        (["--input", "a.jsonl", "--recipe", '{"form":"preference"}'], 1, "INVALID_ARGUMENT"),
        (["--input", "a.jsonl", "--recipe", '{"chunking":{"max_characters":9}}'], 1, "INVALID_ARGUMENT"),
        (["--input", "a.jsonl", "--recipe", '{"filter":{"min_characters":99}}'], 1, "PREPARED_NOTHING"),
        (["--input", "bad.jsonl"], 1, "DATA_INVALID"),
        (["--input", "a.jsonl", "--output", "nowhere/b.jsonl"], 2, "INVALID_ARGUMENT"),
        (["--input", "a.jsonl", "--format", "xlsx"], 2, "UNKNOWN_VALUE"),
        (["--input", "a.jsonl", "--column", "question=q"], 2, "INVALID_ARGUMENT"),
    ],
)
def test_what_cannot_be_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text('{"instruction":"あ","response":"い"}\n')
    Path("bad.jsonl").write_text('{"instruction":"あ"\n')
    assert run(*arguments, "--json") == status
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["reason"] == reason
    assert error["message"]["ja"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "bad.jsonl"]


def test_columns_and_bad_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "faq.csv"
    source.write_text("質問,回答\n一？,二。\n三？,\n")
    columns = ("--column", "instruction=質問", "--column", "response=回答")
    assert run("--input", source, *columns) == 1
    assert "EMPTY_FIELD" in capsys.readouterr().err
    made = tmp_path / "made.jsonl"
    assert run("--input", source, *columns, "--bad-rows", "set-aside", "--output", made) == 0
    assert rows(made) == [{"instruction": "一？", "response": "二。"}]
    (aside,) = rows(tmp_path / "made-set-aside.jsonl")
    assert aside["line"] == 3


def test_trouble_with_a_file_is_told_in_both_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text('{"instruction":"あ","response":"い"}\n')
    (tmp_path / "made.jsonl").mkdir()
    assert run("--input", tmp_path / "a.jsonl", "--output", tmp_path / "made.jsonl", "--json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["reason"] == "FILE_TROUBLE"
    assert "読み書きできません" in error["message"]["ja"]


def test_texts_without_markers(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("ただの文章。\n質問: だけ\n")
    assert marked(read_lines(source)) is None
