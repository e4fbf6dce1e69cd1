"""Two ranks that keep weights and optimizer on a disk train what they train from memory, and go on bit-equal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from services.training_service.trainer import events, swap_folder
from services.training_service.trainer.failures import DISK_FULL
from tests import disk_library
from tests.integration.trainer.conftest import Finished, Trainer
from tests.integration.trainer.preloaded import run_ranks
from tests.small_disk import small_disk

pytestmark = pytest.mark.xdist_group("trainer")

_WITHIN_S = 60.0
SMALL: dict[str, Any] = {
    "hp_max_steps": 4,
    "hp_per_device_train_batch_size": 2,
    "hp_gradient_accumulation_steps": 2,
    "hp_save_steps": 2,
    "hp_lora_r": 64,  # so that adapters are large enough for a disk too
    "hp_learning_rate": 1e-4,
    "hp_deepspeed_stage": 3,
}
MEMORY = {"hp_offload_optimizer": "cpu", "hp_offload_param": "cpu"}
DISK = {"hp_offload_optimizer": "nvme", "hp_offload_param": "nvme"}


@pytest.fixture(scope="module")
def library() -> None:
    """DeepSpeed's library, where it was compiled before."""
    disk_library.needed()


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory, base_model: Path) -> Path:
    """As `base_model`, with layers of which a rank's share is a MiB: smaller ones DeepSpeed leaves in memory."""
    folder = tmp_path_factory.mktemp("wide")
    AutoTokenizer.from_pretrained(base_model).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(base_model, hidden_size=256, intermediate_size=2048, head_dim=64)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def wide(trainer: Trainer, wide_model: Path) -> Trainer:
    trainer.base_model = wide_model
    return trainer


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "fast"
    folder.mkdir()
    return folder


def both(trainer: Trainer, output: str, **fields: Any) -> Finished:
    """Rank 0 of two that succeeded."""
    first, second = run_ranks(trainer, trainer.job(output, **{**SMALL, **fields}), output)
    assert (first.code, second.code) == (0, 0), first.stderr[-3000:] + second.stderr[-3000:]
    return first


def weights(run: Finished) -> dict[str, torch.Tensor]:
    return load_file(next((run.output_dir / "model").glob("*.safetensors")))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_from_a_disk(method: str, wide: Trainer, disk: Path) -> None:
    on_disk = {"hp_method": method, "hp_disk_offload_dir": str(disk), **DISK}
    run = both(wide, "disk", **on_disk)
    assert list(disk.iterdir()) == []
    memory = both(wide, "memory", hp_method=method, **MEMORY)
    # Within rounding: the norm by which gradients are clipped is summed up group by group, and groups are smaller.
    assert run.losses == pytest.approx(memory.losses, rel=1e-6)
    ours, theirs = weights(run), weights(memory)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)

    checkpoint = run.output_dir / "checkpoints" / "step-2"
    groups = [torch.load(file, weights_only=True) for file in checkpoint.glob("optimizer-*-0.pt")]
    assert len(groups) > 1
    assert all(group["moments"]["exp_avg"].shape == group["master"].shape for group in groups)
    resumed = both(wide, "resumed", checkpoint=str(checkpoint), **on_disk)
    assert resumed.losses == run.losses[2:]
    again = weights(resumed)
    assert all(torch.equal(ours[name], again[name]) for name in ours)


@pytest.mark.usefixtures("library")
def test_the_optimizer_alone_lies_on_a_disk(wide: Trainer, disk: Path) -> None:
    run = both(
        wide, "disk", hp_method="full", hp_max_steps=2, hp_offload_optimizer="nvme", hp_disk_offload_dir=str(disk)
    )
    memory = both(wide, "memory", hp_method="full", hp_max_steps=2, hp_offload_optimizer="cpu")
    assert run.losses == pytest.approx(memory.losses, rel=1e-6)


@pytest.mark.usefixtures("library")
def test_what_a_killed_rank_leaves_is_removed(wide: Trainer, disk: Path) -> None:
    job = wide.job("long", **{**SMALL, "hp_max_steps": 10_000}, hp_method="full", hp_disk_offload_dir=str(disk), **DISK)
    process = wide.start(job, "long")
    end_at = time.monotonic() + 2 * _WITHIN_S
    while not {"optimizer", "float32params"} <= {file.parts[-3] for file in disk.rglob("*.swp")}:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end_at, sorted(disk.rglob("*"))
        time.sleep(0.2)
    swap_folder.clear(disk)
    assert len(list(disk.iterdir())) == 1, "the folder of a living rank was removed"
    process.kill()
    process.wait(_WITHIN_S)
    assert len(list(disk.iterdir())) == 1
    swap_folder.clear(disk)
    assert list(disk.iterdir()) == []


# Full training takes 80 MB. LoRA has 15 MB on disk before the first step and 20 afterwards, and 16 MiB have to be left.
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("method", "size_bytes", "steps"),
    [("full", 64 << 20, 0), ("lora", 33 << 20, 1)],
    ids=["before-the-weights", "after-a-step"],
)
def test_a_disk_without_room_is_told(method: str, size_bytes: int, steps: int, wide: Trainer, disk: Path) -> None:
    with small_disk(disk, size_bytes):
        job = wide.job("job", **SMALL, hp_method=method, hp_disk_offload_dir=str(disk), **DISK)
        first, second = run_ranks(wide, job, "run")
        # Whoever looks first; the other one breaks off.
        assert DISK_FULL in (first.code, second.code), first.stderr[-3000:] + second.stderr[-3000:]
        assert len(first.losses) == steps
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize(("directory", "reason"), [("", "NO_DISK_OFFLOAD_DIR"), ("/nowhere", "NO_SUCH_DIRECTORY")])
def test_a_directory_that_is_none_ends_it_at_once(directory: str, reason: str, trainer: Trainer) -> None:
    job = trainer.job("job", **SMALL, hp_disk_offload_dir=directory, **DISK)
    failed, *_ = run_ranks(trainer, job, "run", ranks=1)
    last = failed.lines[-1].event
    assert isinstance(last, events.Failed)
    assert (last.failure, last.reason, last.field) == ("configuration", reason, "hyperparameters.disk_offload_dir")
