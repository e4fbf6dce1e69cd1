"""The manual's names for DeepSpeed and offload mean hyperparameters of the contract."""

import json
from pathlib import Path

import pytest
from aift.errors import AiftError
from aift.hyperparameters import as_settings, hyperparameters

LARGE = {"deepspeed_stage": 2, "offload_optimizer": "cpu"}
ULTRA_LARGE = {"deepspeed_stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}


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


@pytest.mark.parametrize(
    "content", ["{", "{}", "[]", '{"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}']
)
def test_a_file_that_cannot_be_obeyed_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(AiftError) as caught:
        hyperparameters({"deepspeed_config": str(path)})
    assert caught.value.reason == "INVALID_HYPERPARAMETER"


def test_a_config_that_is_nowhere_names_the_presets() -> None:
    with pytest.raises(AiftError) as caught:
        hyperparameters({"deepspeed_config": "huge"})
    assert "ultra-large" in caught.value.message_en


def test_disk_is_refused_with_the_remedy() -> None:
    with pytest.raises(AiftError) as caught:
        hyperparameters({"disk_offload_dir": "/fast"})
    assert "cpu_offload" in caught.value.message_en
