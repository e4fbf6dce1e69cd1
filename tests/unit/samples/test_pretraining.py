"""The recipe of tiny-ja: rows, schedule, and one very short run of the whole script."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from samples import pretraining, tokenizer
from samples.make_tiny_ja import MODEL


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


def test_rows_hold_whole_passages_that_each_start_at_position_nought(pieces: Tokenizer) -> None:
    recipe = pretraining.Recipe(curriculum_share=0.5)
    end, pad = pieces.token_to_id(tokenizer.END), pieces.token_to_id(tokenizer.PAD)
    for row in itertools.islice(pretraining.rows(pieces, recipe, rank=0), 50):
        assert len(row.tokens) == len(row.positions) == len(row.weights) == recipe.length
        written = max(index for index, token in enumerate(row.tokens) if token == end) + 1
        assert all(token == pad for token in row.tokens[written:])
        assert all(weight == 0 for weight in row.weights[written:])
        starts = [index for index in range(written) if row.positions[index] == 0]
        assert starts == [0, *(i + 1 for i in range(written - 1) if row.tokens[i] == end)]
        assert all(row.weights[i] == 1 for i in range(written) if row.tokens[i] == end)


def test_ranks_read_different_rows_and_the_seed_decides(pieces: Tokenizer) -> None:
    def first(seed: int, rank: int) -> list[int]:
        return next(pretraining.rows(pieces, pretraining.Recipe(seed=seed), rank)).tokens

    assert first(0, 0) == first(0, 0)
    assert first(0, 0) != first(0, 1)
    assert first(0, 0) != first(1, 0)


def test_a_run_has_as_many_rows_as_it_has_steps_for(pieces: Tokenizer) -> None:
    recipe = pretraining.Recipe(tokens=20_480)
    assert recipe.steps == 10
    assert len(list(pretraining.rows(pieces, recipe, rank=1))) == 10 * recipe.rows_per_step // pretraining.RANKS


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    recipe = pretraining.Recipe()
    assert recipe.rate_at(0) < recipe.rate_at(50) < recipe.rate_at(99) == recipe.learning_rate
    assert recipe.rate_at(recipe.steps // 2) == recipe.learning_rate
    assert recipe.rate_at(recipe.steps - 1) < recipe.learning_rate / 500


@pytest.mark.slow
def test_the_script_writes_the_files_that_are_shipped(pieces: Tokenizer, tmp_path: Path) -> None:
    output = tmp_path / "tiny"
    seed = json.loads((MODEL / "aift.json").read_text(encoding="utf-8"))["pretraining"]["seed"]
    subprocess.run(
        [sys.executable, "-m", "samples.make_tiny_ja", "--tokens=4096", f"--seed={seed}", "--output", str(output)],
        check=True,
        timeout=240,
        stdout=subprocess.DEVNULL,
    )
    assert {path.name for path in output.iterdir()} == {path.name for path in MODEL.iterdir()}
    for name in ("config.json", "tokenizer_config.json", "chat_template.jinja", "README.md"):
        assert (output / name).read_bytes() == (MODEL / name).read_bytes(), name
    assert Tokenizer.from_file(str(output / "tokenizer.json")).get_vocab() == pieces.get_vocab()
