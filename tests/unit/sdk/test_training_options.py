"""Options of `aift train`: files, --set, other names, declared options; the later wins."""

from pathlib import Path

import pytest
from aift.cli.training_options import described
from aift.errors import AiftError
from aift.hyperparameters import hyperparameters


def test_the_later_wins(tmp_path: Path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text("base_model: a\ndata: d\nepochs: 1\nlora_r: 4\nuse_qlora: true\n", encoding="utf-8")
    read = described(
        {"base_model": "b", "data": None},
        {"num_train_epochs": "5"},
        config=config,
        assignments=["lora_rank=8"],
        rest=["--use_lora", "--batch_size", "2", "--model=m"],
    )
    assert (read.base_model, read.data, read.model) == ("b", "d", "m")
    message = hyperparameters(read.hyperparameters)
    assert (message.num_train_epochs, message.lora_r, message.per_device_train_batch_size) == (5, 8, 2)
    assert message.method == 2  # LORA


@pytest.mark.parametrize("rest", [["loose"], ["-x"]])
def test_stray_arguments_are_refused(rest: list[str]) -> None:
    with pytest.raises(AiftError, match="USAGE"):
        described({}, {}, config=None, assignments=[], rest=rest)


@pytest.mark.parametrize("assignment", ["lora_r", "=8"])
def test_assignments_need_name_and_value(assignment: str) -> None:
    with pytest.raises(AiftError, match="--set"):
        described({}, {}, config=None, assignments=[assignment], rest=[])
