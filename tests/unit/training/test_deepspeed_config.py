"""DeepSpeed's configuration: explicit numbers, the manual's presets, and DeepSpeed takes it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aift.hyperparameters import as_settings, hyperparameters
from aift.training.v1 import training_pb2 as pb

from services.core.errors import InvalidArgument
from services.training_service.deepspeed_config import LARGE, ULTRA_LARGE, Shape, deepspeed_config, to_json
from services.training_service.sharing import generated
from services.training_service.trainer.hyperparameters import Hyperparameters

CHECK = """
import json, sys
from deepspeed.runtime.config import DeepSpeedConfig
found = []
for given in json.load(sys.stdin):
    config = DeepSpeedConfig(given)
    zero = config.zero_config
    found.append([int(zero.stage), config.train_batch_size, str(zero.offload_param and zero.offload_param.device)])
print(json.dumps(found))
"""


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    else:
        yield value


def test_the_large_preset_is_zero_2_with_the_optimizer_in_memory() -> None:
    zero = deepspeed_config(Hyperparameters(**LARGE), Shape(processes=2, micro_batches=8))["zero_optimization"]
    assert (zero["stage"], zero["offload_optimizer"]["device"], "offload_param" in zero) == (2, "cpu", False)


def test_the_ultra_large_preset_is_zero_3_with_all_in_memory_or_on_disk() -> None:
    values = Hyperparameters(**ULTRA_LARGE)
    zero = deepspeed_config(values, Shape(processes=2, micro_batches=8))["zero_optimization"]
    assert (zero["stage"], zero["offload_optimizer"]["device"], zero["offload_param"]["device"]) == (3, "cpu", "cpu")
    values = replace(values, offload_optimizer="nvme", offload_param="nvme")
    shape = Shape(processes=2, micro_batches=8, nvme_path="/fast", largest_weight=1001)
    disk = deepspeed_config(values, shape)["zero_optimization"]
    assert {disk[name]["device"] for name in ("offload_optimizer", "offload_param")} == {"nvme"}
    assert disk["offload_param"]["nvme_path"] == "/fast"
    assert disk["offload_param"]["buffer_size"] == 501
    assert disk["sub_group_size"] < zero["sub_group_size"]
    kept = ("stage3_max_live_parameters", "stage3_max_reuse_distance", "stage3_prefetch_bucket_size")
    assert [(zero[name] > 0, disk[name]) for name in kept] == [(True, 0)] * 3


def test_numbers_are_the_trainings_and_none_is_left_to_be_guessed() -> None:
    values = Hyperparameters(per_device_train_batch_size=3, max_grad_norm=0.5, **ULTRA_LARGE)
    config = deepspeed_config(values, Shape(processes=4, micro_batches=5, precision="fp16"))
    assert (config["train_batch_size"], config["gradient_accumulation_steps"]) == (60, 5)
    assert (config["gradient_clipping"], config["fp16"]["enabled"], config["bf16"]["enabled"]) == (0.5, True, False)
    assert "auto" not in list(leaves(config))


@pytest.mark.parametrize("preset", [LARGE, ULTRA_LARGE, {**ULTRA_LARGE, "offload_param": "nvme"}])
def test_the_file_is_taken_as_ones_own(preset: dict[str, Any], tmp_path: Path) -> None:
    values = Hyperparameters(per_device_train_batch_size=3, max_grad_norm=0.5, **preset)
    path = tmp_path / "ds_config.json"
    path.write_text(to_json(deepspeed_config(values, Shape(processes=4, micro_batches=5, nvme_path="/fast"))))
    taken = as_settings(hyperparameters({"deepspeed_config": str(path)}))
    assert preset.items() <= taken.items()
    assert (taken["per_device_train_batch_size"], taken["gradient_accumulation_steps"]) == (3, 5)
    assert taken["max_grad_norm"] == 0.5


def test_deepspeed_takes_every_combination() -> None:
    configs, expected = [], []
    for stage, offload, precision in itertools.product(range(4), ("none", "cpu"), ("bf16", "fp16", "fp32")):
        param = offload if stage == 3 else "none"
        values = Hyperparameters(
            deepspeed_stage=stage, offload_optimizer=offload if stage else "none", offload_param=param
        )
        configs.append(deepspeed_config(values, Shape(processes=1, micro_batches=2, precision=precision)))
        expected.append([stage, 8, param if param == "cpu" else "None"])
    shape = Shape(processes=1, micro_batches=2, nvme_path="/fast")
    on_disk = replace(Hyperparameters(**ULTRA_LARGE), offload_optimizer="nvme", offload_param="nvme")
    configs.append(deepspeed_config(on_disk, shape))
    expected.append([3, 8, "nvme"])
    run = subprocess.run(
        [sys.executable, "-c", CHECK],
        input=json.dumps(configs),
        capture_output=True,
        text=True,
        env={**os.environ, "DS_ACCELERATOR": "cpu"},
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == expected


def test_what_is_set_wins_over_the_preset() -> None:
    made = generated(
        pb.GenerateDeepSpeedConfigRequest(
            preset=pb.DEEP_SPEED_PRESET_LARGE,
            hyperparameters=pb.Hyperparameters(offload_optimizer=pb.OFFLOAD_DEVICE_NONE, lora_r=8),
            processes=2,
        )
    )
    assert "offload_optimizer" not in json.loads(made.json)["zero_optimization"]
    assert json.loads(made.json)["train_batch_size"] == 8
    assert made.hyperparameters.deepspeed_stage == 2
    assert made.hyperparameters.lora_r == 8


def test_a_directory_takes_what_the_preset_offloads() -> None:
    request = pb.GenerateDeepSpeedConfigRequest(preset=pb.DEEP_SPEED_PRESET_ULTRA_LARGE, nvme_path="/fast")
    made = generated(request)
    assert json.loads(made.json)["zero_optimization"]["offload_param"]["nvme_path"] == "/fast"
    settings = made.hyperparameters
    assert (settings.offload_optimizer, settings.offload_param) == (pb.OFFLOAD_DEVICE_NVME, pb.OFFLOAD_DEVICE_NVME)
    assert settings.disk_offload_dir == "/fast"
    again = generated(pb.GenerateDeepSpeedConfigRequest(hyperparameters=settings))
    assert again.json == made.json


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GenerateDeepSpeedConfigRequest(processes=65), "processes"),
        (
            pb.GenerateDeepSpeedConfigRequest(
                hyperparameters=pb.Hyperparameters(deepspeed_stage=3, offload_param=pb.OFFLOAD_DEVICE_NVME)
            ),
            "nvme_path",
        ),
        (
            pb.GenerateDeepSpeedConfigRequest(
                hyperparameters=pb.Hyperparameters(deepspeed_stage=2, offload_optimizer=pb.OFFLOAD_DEVICE_NVME)
            ),
            "hyperparameters.offload_optimizer",
        ),
        (pb.GenerateDeepSpeedConfigRequest(preset=pb.DEEP_SPEED_PRESET_LARGE, nvme_path="/fast"), "nvme_path"),
        (
            pb.GenerateDeepSpeedConfigRequest(hyperparameters=pb.Hyperparameters(deepspeed_stage=4)),
            "hyperparameters.deepspeed_stage",
        ),
        (
            pb.GenerateDeepSpeedConfigRequest(
                hyperparameters=pb.Hyperparameters(deepspeed_stage=2, offload_param=pb.OFFLOAD_DEVICE_CPU)
            ),
            "hyperparameters.offload_param",
        ),
    ],
)
def test_what_is_wrong_is_named(request_: pb.GenerateDeepSpeedConfigRequest, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        generated(request_)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_the_text_ends_with_a_line() -> None:
    assert to_json({"a": 1}).endswith("}\n")
