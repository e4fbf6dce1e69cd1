"""The manual's names for DeepSpeed and offload mean hyperparameters of the contract."""

import json
from pathlib import Path

import pytest
from aift.errors import AiftError
from aift.hyperparameters import as_settings, hyperparameters

LARGE = {"deepspeed_stage": 2, "offload_optimizer": "cpu"}
ULTRA_LARGE = {"deepspeed_stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}
ON_DISK = {
    "deepspeed_stage": 3,
    "offload_optimizer": "nvme",
    "offload_param": "nvme",
    "disk_offload_dir": "/fast",
}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"use_deepspeed": True}, {"deepspeed_stage": 2}),
        ({"cpu_offload": "true"}, LARGE),
        ({"deepspeed_config": "large"}, LARGE),
        ({"deepspeed_config": "ultra_large"}, ULTRA_LARGE),
        (
            {"use_deepspeed": True, "deepspeed_config": "configs/deepspeed/ds_config_large.json", "cpu_offload": True},
            LARGE,
        ),
        ({"deepspeed_config": "configs/deepspeed/ds_config_ultra_large.json"}, ULTRA_LARGE),
        (
            {"deepspeed_config": "large", "offload_optimizer": "none"},
            {"deepspeed_stage": 2, "offload_optimizer": "none"},
        ),
        ({"use_deepspeed": False, "deepspeed_config": "large"}, {}),
        ({"deepspeed_stage": "1"}, {"deepspeed_stage": 1}),
        ({"disk_offload_dir": "/fast"}, ON_DISK),
        ({"disk_offload_dir": "/fast", "cpu_offload": True}, ON_DISK),
        ({"disk_offload_dir": "/fast", "deepspeed_config": "ultra-large"}, ON_DISK),
        ({"disk_offload_dir": "/fast", "use_qlora": True}, {**ON_DISK, "offload_param": "cpu", "method": "qlora"}),
        (
            {"disk_offload_dir": "/fast", "deepspeed_stage": 3, "offload_param": "nvme"},
            {"disk_offload_dir": "/fast", "deepspeed_stage": 3, "offload_param": "nvme"},
        ),
        ({"disk_offload_dir": ""}, {}),
    ],
)
def test_the_manuals_names(written: dict[str, object], meant: dict[str, object]) -> None:
    assert as_settings(hyperparameters(written)) == meant


def test_a_file_of_ones_own_tells_stage_and_places(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}))
    assert as_settings(hyperparameters({"deepspeed_config": str(path)})) == {
        "deepspeed_stage": 3,
        "offload_param": "cpu",
    }
    disk = {"device": "nvme", "nvme_path": "/fast"}
    path.write_text(json.dumps({"zero_optimization": {"stage": 3, "offload_param": disk}}))
    asked = {"deepspeed_stage": 3, "offload_param": "nvme", "disk_offload_dir": "/fast"}
    assert as_settings(hyperparameters({"deepspeed_config": str(path)})) == asked
    other = hyperparameters({"deepspeed_config": str(path), "disk_offload_dir": "/other"})
    assert as_settings(other) == {**asked, "disk_offload_dir": "/other"}


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"zero_optimization": {"stage": 3, "offload_param": "nvme"}}'])
def test_a_file_that_cannot_be_obeyed_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(AiftError) as caught:
        hyperparameters({"deepspeed_config": str(path)})
    assert caught.value.reason == "INVALID_HYPERPARAMETER"


def written(path: Path, **config: object) -> dict[str, object]:
    """A DeepSpeed configuration of one's own, as a setting."""
    path.write_text(json.dumps({"zero_optimization": {"stage": 2}} | config))
    return {"deepspeed": str(path)}


def test_a_file_tells_the_training_what_nothing_else_does(tmp_path: Path) -> None:
    setting = written(
        tmp_path / "mine.json",
        train_micro_batch_size_per_gpu=2,
        gradient_accumulation_steps="auto",
        train_batch_size="auto",
        gradient_clipping=0.5,
        optimizer={"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.999], "weight_decay": "auto"}},
        scheduler="auto",
        bf16={"enabled": True},
        fp16={"enabled": "auto"},
    )
    taken = {
        "deepspeed_stage": 2,
        "per_device_train_batch_size": 2,
        "max_grad_norm": 0.5,
        "learning_rate": 1e-4,
    }
    assert as_settings(hyperparameters(setting)) == taken
    assert as_settings(hyperparameters({**setting, "batch_size": 2, "deepspeed_stage": 1})) == taken | {
        "deepspeed_stage": 1
    }
    with pytest.raises(
        AiftError, match=r"train_micro_batch_size_per_gpu is 2, but per_device_train_batch_size is 8"
    ) as caught:
        hyperparameters({**setting, "batch_size": 8})
    assert caught.value.reason == "CONFLICTING_HYPERPARAMETERS"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"gradient_cliping": 1.0}, "did you mean gradient_clipping"),
        ({"zero_optimization": {"stage": 2, "overlap_com": True}}, "did you mean overlap_comm"),
        ({"optimizer": {"type": "Lamb"}}, 'optimizer.type is "Lamb", but the training uses "AdamW"'),
        ({"optimizer": {"type": "AdamW", "params": {"eps": 1e-6}}}, "optimizer.params.eps is 1e-06"),
        ({"scheduler": {"type": "WarmupLR"}}, "set lr_scheduler_type"),
        ({"fp16": {"enabled": True}}, "fp16 is enabled"),
        ({"train_batch_size": 32}, "train_batch_size is 32"),
        (
            {"train_batch_size": 7, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 1},
            "train_batch_size is 7",
        ),
    ],
)
def test_what_would_vanish_is_refused(config: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises(AiftError) as caught:
        hyperparameters(written(tmp_path / "mine.json", **config))
    assert caught.value.reason == "INVALID_HYPERPARAMETER"
    assert told in caught.value.message_en


def test_all_that_is_wrong_in_a_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(AiftError) as caught:
        hyperparameters(written(tmp_path / "mine.json", amp={}, scheduler={"type": "WarmupLR"}))
    assert "amp" in caught.value.message_en
    assert "scheduler" in caught.value.message_en


def test_a_config_that_is_nowhere_names_the_presets() -> None:
    with pytest.raises(AiftError) as caught:
        hyperparameters({"deepspeed_config": "huge"})
    assert "ultra-large" in caught.value.message_en
