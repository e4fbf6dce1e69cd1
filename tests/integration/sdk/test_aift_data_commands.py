"""`aift data …` beyond upload: imports, preparation, tokens, differences, references."""

import json
from pathlib import Path
from typing import Any

import pytest
from aift.data.v1 import data_pb2


def test_how_a_file_is_read_is_passed_on(aift: Any, system: Any, rows: Path) -> None:
    done = aift(
        *("data", "upload", str(rows), "--form", "alpaca", "--format", "csv", "--encoding", "Shift_JIS"),
        *("--column", "instruction=質問", "--column", "response=回答", "--bad-rows", "set_aside"),
        *("--tool-turns", "keep", "--train-on", "all"),
    )
    assert done.returncode == 0, done.stderr
    asked = system.data.checked
    assert (asked.form, asked.train_on) == (data_pb2.ROW_FORM_INSTRUCTION, data_pb2.TRAIN_ON_ALL)
    assert asked.read == data_pb2.ReadOptions(
        format=data_pb2.FILE_FORMAT_CSV,
        encoding=data_pb2.TEXT_ENCODING_CP932,
        columns={"instruction": "質問", "response": "回答"},
        bad_rows=data_pb2.BAD_ROWS_SET_ASIDE,
        tool_turns=data_pb2.TOOL_TURNS_KEEP,
    )


def test_several_files_become_several_versions(aift: Any, rows: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl.gz"
    other.write_bytes(b"x")
    done = aift("data", "upload", str(rows), str(other))
    assert done.stdout.split() == ["datasets/rows/versions/1", "datasets/other/versions/1"]


def test_nothing_is_sent_to_a_data_set_whose_id_is_none(aift: Any, system: Any, rows: Path) -> None:
    done = aift("data", "upload", str(rows), "--dataset", "日本語")
    assert done.returncode == 2
    assert "lower-case letters, digits or inner hyphens" in done.stderr
    assert system.data.uploads == {}


def test_a_folder_is_no_file(aift: Any, tmp_path: Path) -> None:
    done = aift("data", "upload", str(tmp_path))
    assert done.returncode == 2
    assert "NOT_A_FILE" in done.stderr
    assert "aift data import --drop" in done.stderr


def test_imports(aift: Any, system: Any) -> None:
    assert "届いた.jsonl" in aift("data", "drop").stdout
    done = aift("data", "import", "--hub", "someone/questions-ja@v1", "--hub-path", "data/train.parquet")
    assert done.returncode == 0, done.stderr
    asked = system.data.asked["ImportDataset"]
    assert asked.dataset == "datasets/questions-ja"
    assert asked.hub == data_pb2.HubDataset(id="someone/questions-ja", revision="v1", path="data/train.parquet")
    assert aift("data", "import", "--url", "https://example.com/faq.csv?x=1").returncode == 0
    asked = system.data.asked["ImportDataset"]
    assert (asked.dataset, asked.url) == ("datasets/faq", "https://example.com/faq.csv?x=1")
    assert aift("data", "import", "--drop", "a", "--url", "https://b").returncode == 2


def test_preparing_a_version(aift: Any, system: Any, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("normalization: halfwidth-kana\n", encoding="utf-8")
    options = ("--recipe", str(recipe), "--redact", "emails", "--dedupe", "exact", "--split", "validation=0.1")
    preview = aift("data", "prepare", "datasets/rows", *options, "--dry-run")
    assert preview.returncode == 0, preview.stderr
    assert "[-ｶﾅ-]{+カナ+}?" in preview.stdout
    assert "- #3 短\n" in preview.stdout
    assert "1 are dropped" in preview.stderr
    assert "SLOW_PATTERN: (a+)+ is slow" in preview.stderr
    done = aift("data", "prepare", "datasets/rows", *options)
    assert done.stdout == "datasets/rows/versions/1\n"
    asked = system.data.asked["PrepareDataset"]
    assert asked.source == "datasets/rows/versions/1"
    assert asked.recipe == data_pb2.Recipe(
        normalization=data_pb2.NORMALIZATION_HALFWIDTH_KANA,
        redaction=data_pb2.Redaction(emails=True),
        deduplication=data_pb2.Deduplication(exact=True),
        split=data_pb2.Split(validation_share=0.1),
    )
    assert json.loads(aift("data", "prepare", "datasets/rows", *options, "--json").stdout)["name"] == "dataJobs/j1"


def test_what_a_file_stopped_is_told(aift: Any, rows: Path) -> None:
    done = aift("data", "upload", str(rows), "gone.jsonl", "later.jsonl")
    assert done.returncode == 2
    assert "gone.jsonl was refused. Not sent: later.jsonl" in done.stderr


def test_a_display_name_of_a_data_set_that_is_there(aift: Any, system: Any, rows: Path) -> None:
    assert "still called" not in aift("data", "upload", str(rows), "--display-name", "質問集").stderr
    assert "still called '質問集'" in aift("data", "upload", str(rows), "--display-name", "FAQ").stderr
    assert aift("data", "update", "rows", "--display-name", "FAQ").stdout == "datasets/rows\n"
    assert system.client.datasets.get("rows").display_name == "FAQ"


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "prepare"],
        ["data", "prepare", "nowhere.jsonl"],
        ["data", "prepare", "datasets/rows", "--output", "x.jsonl"],
        ["data", "preview", "datasets/rows", "--supervision"],
        ["data", "upload", "rows.jsonl", "--column", "質問"],
        ["data", "prepare", "rows.jsonl", "--dry-run"],
        ["data", "prepare", "rows.jsonl", "--dataset", "other"],
        ["data", "prepare", "datasets/rows", "--limit", "5"],
        ["data", "import", "--drop", "a", "--hub-path", "b"],
        ["data", "update", "datasets/rows"],
    ],
)
def test_wrong_usage_is_named(aift: Any, rows: Path, arguments: list[str]) -> None:
    done = aift(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_trained_tokens_are_marked(aift: Any) -> None:
    done = aift("data", "preview", "datasets/rows", "--supervision", "--base-model", "tiny-ja")
    assert "質問↵\n⟦答え</s>⟧" in done.stdout
    assert "2 of 4 tokens are trained (50.0%)" in done.stderr


def test_tokens_are_counted_when_they_were_not(aift: Any, system: Any) -> None:
    done = aift("data", "tokens", "datasets/rows", "--base-model", "tiny-ja")
    assert done.returncode == 0, done.stderr
    assert system.data.asked["CountDatasetTokens"].base_model == "baseModels/tiny-ja"
    assert "10 (25.0%)" in done.stdout
    assert "≥ 16" in done.stdout


def test_differences_references_and_jobs(aift: Any, system: Any) -> None:
    done = aift("data", "diff", "rows/versions/1", "datasets/rows/versions/2")
    assert "+ #1 問\n新しい答え" in done.stdout
    asked = system.data.asked["DiffDatasetVersions"]
    assert (asked.base, asked.name) == ("datasets/rows/versions/1", "datasets/rows/versions/2")
    assert "trainingJobs/t1" in aift("data", "references", "rows").stdout
    assert "preparation" in aift("data", "jobs").stdout
    assert aift("data", "watch", "j1").stdout == "datasets/rows/versions/1\n"


def test_files_of_a_version(aift: Any, rows: Path, tmp_path: Path) -> None:
    aift("data", "upload", str(rows))
    done = aift("data", "download", "rows", str(tmp_path / "back"), "--file", "set-aside")
    assert done.returncode == 3
    assert "set-aside.jsonl" in done.stderr
    assert aift("data", "download", "rows", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == rows.read_bytes()


def test_the_manuals_preparation_of_a_file(aift: Any, tmp_path: Path) -> None:
    (tmp_path / "raw_data.txt").write_text(
        "質問: 一の次は？\n回答: 二です。\n\n質問: 二の次は？\n回答: 三です。\n", encoding="utf-8"
    )
    done = aift("data", "prepare", "--input_file", "raw_data.txt", "--output_file", "training.jsonl", "--validate")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["response"] for row in rows] == ["二です。", "三です。"]
    again = aift("data", "prepare", "training.jsonl", "--to", "text", "--drop-pattern", "二の次", "--output", "t.jsonl")
    assert again.returncode == 0, again.stderr
    (row,) = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(json.loads(row)) == {"text"}
