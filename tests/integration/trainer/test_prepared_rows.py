"""Rows from files into tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.training_service.trainer import job
from services.training_service.trainer.data import Prepared, prepare, split
from services.training_service.trainer.job import JobFile
from services.training_service.trainer.model import load_tokenizer
from tests.integration.trainer.conftest import Trainer, example_rows

pytestmark = pytest.mark.xdist_group("trainer")


def prepared(description: JobFile) -> Prepared:
    tokenizer = load_tokenizer(Path(description.base_model.path))
    return prepare(description, tokenizer, description.hyperparameters.max_length, lambda share: None)


def ids(made: Prepared) -> list[list[int]]:
    return [row.ids.tolist() for row in made.train]


@pytest.mark.parametrize("packed", [True, False])
def test_parquet_gives_what_jsonl_gives(packed: bool, trainer: Trainer) -> None:
    description = job.load(trainer.job())
    path = trainer.folder / "rows.parquet"
    lines = [json.dumps(row, ensure_ascii=False) for row in example_rows(40)]
    columns: dict[str, Any] = {"index": list(range(40)), "json": lines}
    table = pa.table(columns) if packed else pa.Table.from_pylist(example_rows(40))
    pq.write_table(table, path)
    other = json.loads(description.to_json()) | {"dataset": {"path": str(path)}}
    assert ids(prepared(job.parse(other))) == ids(prepared(description))


def test_held_out_rows_are_the_same_for_a_seed_and_never_trained(trainer: Trainer) -> None:
    made, again = (prepared(job.load(trainer.job(hp_eval_split=0.25))) for _ in range(2))
    other = prepared(job.load(trainer.job(hp_eval_split=0.25, hp_seed=1)))
    assert (len(made.train), len(made.held_out)) == (30, 10)
    assert ids(made) == ids(again)
    assert ids(made) != ids(other)


@pytest.mark.parametrize(("rows", "share", "held"), [(40, 0.05, 2), (5, 0.05, 1), (1, 0.5, 0), (40, 0.0, 0)])
def test_how_many_are_held_out(rows: int, share: float, held: int) -> None:
    train, out = split(list(range(rows)), share, seed=0)  # type: ignore[arg-type]
    assert (len(train), len(out)) == (rows - held, held)
    assert sorted([*train, *out]) == list(range(rows))


def test_evaluation_rows_of_their_own(trainer: Trainer) -> None:
    trainer.job("held", rows=example_rows(7, seed=9))
    path = trainer.job(eval_dataset={"path": str(trainer.folder / "held.jsonl")})
    made = prepared(job.load(path))
    assert (len(made.train), len(made.held_out)) == (40, 7)


def test_characters_are_those_of_the_answer(trainer: Trainer) -> None:
    rows = [{"text": "質問: 一\n回答: 😀です。"}, {"text": "質問: 二\n回答: abc"}]
    made = prepared(job.load(trainer.job(rows=rows, hp_eval_split=0.0)))
    assert [row.characters for row in made.train] == [4, 3]
    assert all(row.trained[-1] and not row.trained[0] for row in made.train)
    assert all(row.ids.dtype == np.int32 for row in made.train)
