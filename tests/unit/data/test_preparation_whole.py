"""Repetitions, and a preparation from a rows.parquet to files of rows."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasketch import MinHash

from services.data_service.child import Progress
from services.data_service.domain import RowForm, Template, TrainOn
from services.data_service.preparation import filtering, near_duplicates
from services.data_service.preparation import preview as preview_module
from services.data_service.preparation.exact_duplicates import ExactDuplicates
from services.data_service.preparation.near_duplicates import NearDuplicates
from services.data_service.preparation.preparation import prepare
from services.data_service.preparation.preview import Preview, PreviewRequest, Seen, preview
from services.data_service.preparation.request import PreparationRequest, PreparationResult
from services.data_service.preparation.rows import compact
from services.data_service.preparation.signatures import PERMUTATIONS, bands, shingle_hashes, signature
from services.data_service.recipe import (
    Chunking,
    Deduplication,
    Normalization,
    Recipe,
    Redaction,
    RowFilter,
    Split,
)

PLAIN = Template(form=RowForm.TEXT, train_on=TrainOn.ALL)
KANA = [chr(code) for code in range(0x3041, 0x3097)]


def sentence(seed: int, length: int = 200) -> str:
    return "".join(random.Random(seed).choices(KANA, k=length))


@cache
def shingles(text: str) -> frozenset[str]:
    return frozenset(text[i : i + 5] for i in range(len(text) - 4))


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def test_a_signature_is_that_of_datasketch() -> None:
    for text in ("あ", "短い文", sentence(1, 5000), "同じ" * 300):
        theirs = MinHash(num_perm=PERMUTATIONS, scheme="affine32", hashfunc=int)
        theirs.update_batch(shingle_hashes(text).tolist())
        assert np.array_equal(signature(text), theirs.hashvalues)


def test_similarity_is_estimated_well() -> None:
    for changed in (5, 20, 40):
        text = sentence(2, 1000)
        other = text[: 1000 - 10 * changed] + sentence(3, 10 * changed)
        estimate = float((signature(text) == signature(other)).mean())
        assert estimate == pytest.approx(jaccard(text, other), abs=0.13)


def test_shingles_hardly_collide() -> None:
    hashes = shingle_hashes(sentence(4, 100_000))
    assert len(set(hashes.tolist())) > 99_900


def gone(texts: Sequence[str], threshold: float, folder: Path) -> list[int]:
    with NearDuplicates(folder, threshold) as near:
        for text in texts:
            near.add(text)
        marks = bytearray(len(texts))
        count = near.mark(marks, 255)
    found = [position for position, mark in enumerate(marks) if mark]
    assert count == len(found)
    return found


def test_similar_rows_go_and_the_first_stays(tmp_path: Path) -> None:
    texts = [sentence(seed) for seed in range(50)]
    texts += [texts[7][:-2] + "ん。", texts[7], texts[8][:100] + sentence(99, 100), "別" + texts[0]]
    assert gone(texts, 0.8, tmp_path) == [50, 51, 53]


def test_short_texts(tmp_path: Path) -> None:
    assert gone(["はい", "いいえ", "はい", "い", "はい。"], 0.9, tmp_path) == [2]


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9, 1.0])
def test_no_other_rows_go(tmp_path: Path, threshold: float) -> None:
    """Against all pairs: whatever is clearly over the threshold goes, whatever is clearly below stays."""
    rng = random.Random(5)
    texts: list[str] = []
    for _ in range(150):
        if texts and rng.random() < 0.5:
            base = rng.choice(texts)
            at, length = rng.randrange(180), rng.randrange(20)
            texts.append(base[:at] + sentence(rng.randrange(10**9), length) + base[at + length :])
        else:
            texts.append(sentence(rng.randrange(10**9)))
    found = set(gone(texts, threshold, tmp_path))
    for position, text in enumerate(texts):
        most = max((jaccard(text, texts[before]) for before in range(position)), default=0.0)
        if most < threshold - 0.15:
            assert position not in found
        if most > min(threshold + 0.12, 0.9999):
            assert position in found


def test_portions_and_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [sentence(seed % 40) for seed in range(120)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = gone(texts, 0.8, tmp_path / "a")
    for name, value in (("_SORTED_AT_ONCE", 16), ("_BATCH", 7), ("_COMPARED_AT_ONCE", 2)):
        monkeypatch.setattr(near_duplicates, name, value)
    assert gone(texts, 0.8, tmp_path / "b") == whole == list(range(40, 120))


def test_bands_find_what_they_shall() -> None:
    for threshold in (0.51, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0):
        count, width = bands(threshold)
        assert count * width <= PERMUTATIONS
        assert 1 - (1 - threshold**width) ** count >= 0.97


def test_exact_repetitions(tmp_path: Path) -> None:
    rng = random.Random(6)
    values = [rng.randrange(20_000) for _ in range(40_000)]
    duplicates = ExactDuplicates(tmp_path)
    for position, value in enumerate(values):
        duplicates.add(hashlib.sha256(str(value).encode()).digest(), position)
    marks = bytearray(len(values))
    assert duplicates.mark(marks, 255) == len(values) - len(set(values))
    seen: set[int] = set()
    for value, mark in zip(values, marks, strict=True):
        assert bool(mark) == (value in seen)
        seen.add(value)


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    texts = [compact(row) for row in rows]
    columns = {
        "index": pa.array(range(len(rows)), pa.int64()),
        "line": pa.array(range(1, len(rows) + 1), pa.int64()),
        "json": pa.array([text.decode() for text in texts], pa.string()),
    }
    pq.write_table(pa.table(columns), path, row_group_size=7)
    return path


def run(
    folder: Path, rows: Sequence[dict[str, Any]], recipe: Recipe, template: Template = PLAIN
) -> tuple[PreparationResult, dict[str, list[dict[str, Any]]]]:
    output = folder / "out"
    output.mkdir()
    told: list[Progress] = []
    request = PreparationRequest(
        input_file=str(parquet(folder / "rows.parquet", rows)),
        output_dir=str(output),
        template=template,
        recipe=recipe,
        total_bytes=1000,
    )
    assert PreparationRequest.from_json(request.to_json()) == request
    prepare(request, told.append).write(output)
    result = PreparationResult.read(output)
    if not result.failure:
        assert told[-1] == Progress(1000, len(rows))
    files = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in output.glob("*.jsonl")}
    return result, files


def test_everything_at_once(tmp_path: Path) -> None:
    rows = [{"text": f"ﾃｽﾄ{sentence(i % 60)}、a{i % 60}@b.jp"} for i in range(90)] + [{"text": "短"}]
    recipe = Recipe(
        normalization=Normalization.NFKC,
        redaction=Redaction(emails=True),
        filter=RowFilter(min_characters=3),
        deduplication=Deduplication(exact=True, near_threshold=0.9),
        split=Split(validation_share=0.2, test_share=0.2),
    )
    result, files = run(tmp_path, rows, recipe)
    assert [(step.name, step.rows_in, step.rows_out, step.changed_rows) for step in result.steps[:-1]] == [
        ("normalization", 91, 91, 90),
        ("redaction", 91, 91, 90),
        ("filter", 91, 90, 0),
        ("deduplication.exact", 90, 60, 0),
        ("deduplication.near", 60, 60, 0),
    ]
    assert set(files) == {"kept", "validation", "test"}
    assert result.rows == {name.upper(): len(found) for name, found in files.items()}
    assert result.steps[-1].rows_out == len(files["kept"])
    together = [row["text"] for found in files.values() for row in found]
    assert sorted(together) == sorted({f"テスト{sentence(i)}、[EMAIL]" for i in range(60)})


def test_untouched_rows_keep_their_bytes_and_order(tmp_path: Path) -> None:
    rows = [{"text": f"行{i}", "n": 10**30 + i, "f": 1.0} for i in range(30)]
    result, files = run(tmp_path, rows, Recipe(filter=RowFilter(min_characters=1)))
    assert files == {"kept": rows}
    assert result.rows == {"KEPT": 30, "VALIDATION": 0, "TEST": 0}


def test_equal_rows_with_other_order_of_fields(tmp_path: Path) -> None:
    rows = [{"text": "あ", "id": 1}, {"id": 1, "text": "あ"}, {"text": "あ", "id": 2}, {"text": "ｱ", "id": 1}]
    _, files = run(tmp_path, rows, Recipe(deduplication=Deduplication(exact=True)))
    assert files["kept"] == [rows[0], rows[2], rows[3]]


def test_long_texts(tmp_path: Path) -> None:
    text = "これは文です。" * 20
    _, files = run(tmp_path, [{"text": text, "url": "u"}], Recipe(chunking=Chunking(max_characters=30)))
    assert "".join(row["text"] for row in files["kept"]) == text
    assert {row["url"] for row in files["kept"]} == {"u"}
    assert max(len(row["text"]) for row in files["kept"]) == 28


@pytest.mark.parametrize(
    ("recipe", "failure", "params"),
    [
        (Recipe(filter=RowFilter(min_characters=99)), "PREPARED_NOTHING", {"step": "filter"}),
        (Recipe(split=Split(validation_share=0.5, test_share=0.5)), "PREPARED_NOTHING", {"step": "split"}),
        (Recipe(form=RowForm.INSTRUCTION), "CONVERSION_IMPOSSIBLE", {"row": 2, "line": 2}),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, recipe: Recipe, failure: str, params: dict[str, Any]) -> None:
    template = (
        Template(form=RowForm.TEXT, train_on=TrainOn.COMPLETION, prompt_marker="質問: ", completion_marker="\n回答: ")
        if recipe.form is RowForm.INSTRUCTION
        else PLAIN
    )
    rows = [{"text": "質問: あ\n回答: い"}, {"text": "ただの文"}]
    result, _ = run(tmp_path, rows, recipe, template)
    assert result.failure == failure
    assert params.items() <= result.params.items()


def test_a_preview() -> None:
    texts = ["ｱ", "そのまま", "長い文。次の文。", "そのまま", "消す"]
    recipe = Recipe(
        chunking=Chunking(max_characters=5),
        normalization=Normalization.NFKC,
        filter=RowFilter(drop_patterns=["消"]),
        deduplication=Deduplication(exact=True, near_threshold=0.9),
    )
    rows = [Seen(index=i, line=i + 1, json=compact({"text": text}).decode()) for i, text in enumerate(texts)]
    request = PreviewRequest(template=PLAIN, recipe=recipe, rows=rows)
    assert PreviewRequest.from_json(request.to_json()) == request
    found = preview(request)
    assert (found.rows, found.unchanged_rows, found.dropped_rows) == (5, 1, 2)
    assert [(change.row, [made.completion for made in change.after]) for change in found.changes] == [
        (0, ["ア"]),
        (2, ["長い文。", "次の文。"]),
        (3, []),
        (4, []),
    ]


def test_a_preview_ends_before_a_message_is_full() -> None:
    rows = [Seen(index=i, line=i + 1, json=compact({"text": "ｱ" * 100_000}).decode()) for i in range(20)]
    found = preview(PreviewRequest(template=PLAIN, recipe=Recipe(normalization=Normalization.NFKC), rows=rows))
    assert 0 < found.rows < 10
    assert len(found.changes) == found.rows


@pytest.mark.parametrize("flag", ["--drop-pattern", "--keep-pattern"])
def test_a_preview_names_a_pattern_that_takes_too_long(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setattr(filtering, "ROW_SECONDS", 0.05)
    slow = {f"{flag[2:6]}_patterns": ["あ$", "(a|aa)+$"]}
    texts = ["a" * 200 + "b", "短いあ", "a" * 300 + "b"]
    rows = [Seen(index=i, line=i + 1, json=compact({"text": text}).decode()) for i, text in enumerate(texts)]
    found = preview(PreviewRequest(template=PLAIN, recipe=Recipe(filter=RowFilter(**slow)), rows=rows))
    assert Preview.from_json(json.dumps(asdict(found)).encode()) == found
    assert (found.rows, found.dropped_rows) == (3, 3 if flag == "--drop-pattern" else 2)
    (finding,) = found.findings
    assert (finding.reason, finding.count, [at.line for at in finding.examples]) == ("SLOW_PATTERN", 2, [1, 3])
    for text in (finding.en, finding.ja):
        assert "filter" in text
        assert "(a|aa)+$" in text
        assert f"recipe.filter.{flag[2:6]}_patterns[1]" in text
        assert flag in text


@pytest.mark.parametrize("rows_before", [0, 2])
def test_a_preview_that_stops_says_why(monkeypatch: pytest.MonkeyPatch, rows_before: int) -> None:
    monkeypatch.setattr(preview_module, "_SECONDS", 0.3)
    texts = ["速い"] * rows_before + ["a" * 200 + "b"] * 3
    rows = [Seen(index=i, line=i + 1, json=compact({"text": text}).decode()) for i, text in enumerate(texts)]
    recipe = Recipe(filter=RowFilter(keep_patterns=["い", "(a|aa)+$"]))
    found = preview(PreviewRequest(template=PLAIN, recipe=recipe, rows=rows))
    assert (found.rows, found.unchanged_rows) == (rows_before, rows_before)
    (finding,) = found.findings
    assert (finding.reason, finding.count) == ("PREVIEW_STOPPED", 3)
    for text in (finding.en, finding.ja):
        assert "(a|aa)+$" in text
        assert "recipe.filter.keep_patterns[1]" in text
        assert "--limit" in text


def test_a_preview_tells_what_cannot_be_done() -> None:
    template = Template(form=RowForm.TEXT, train_on=TrainOn.COMPLETION, prompt_marker="Q: ", completion_marker="\nA: ")
    rows = [Seen(index=4, line=9, json='{"text":"plain"}')]
    found = preview(PreviewRequest(template=template, recipe=Recipe(form=RowForm.MESSAGES), rows=rows))
    assert (found.failure, found.params["row"], found.params["line"]) == ("CONVERSION_IMPOSSIBLE", 5, 9)
    assert found.changes == Preview().changes
