"""Everything to go on from a step: trained weights, optimizer, schedule, random state, place in the data.

A checkpoint appears whole, by a rename. Base weights are not in it: they are the job's own input. Torch files in it
are only read back by the same job, and only as plain tensors and numbers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from services.training_service.trainer import zero
from services.training_service.trainer.failures import configuration
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.ranks import Ranks

BEST_FILE = "best.safetensors"
KEPT = 2
"""A checkpoint stays at least until the second after it is whole, so that an uploader has time."""


@dataclass(frozen=True)
class Standing:
    """The best evaluation so far."""

    loss: float = sys.float_info.max
    step: int = -1
    """Of that evaluation; -1 before the first."""
    waited: int = 0
    """Evaluations since."""


@dataclass(frozen=True)
class Place:
    """Where the training stood."""

    step: int
    """Optimizer steps done."""
    fingerprint: str
    """Of the order of rows; only the same order is gone on with."""
    tokens: int
    """Tokens of all rows trained so far."""
    trained_tokens: int
    """Those that counted in the loss."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What was measured before training and last."""
    best: Standing = Standing()
    """The best evaluation."""


def fingerprint(lengths: Sequence[int], hyperparameters: Hyperparameters, world: int, total_steps: int) -> str:
    """Of everything that decides which rows a step trains; another number of ranks may make up the same step."""
    rows = hyperparameters.per_device_train_batch_size * hyperparameters.gradient_accumulation_steps * world
    order = json.dumps([list(lengths), hyperparameters.seed, rows, total_steps])
    return hashlib.sha256(order.encode()).hexdigest()


def read_place(directory: Path, expected: str) -> Place:
    """Where the checkpoint stands. Raises ConfigurationError where it belongs to another order of rows."""
    try:
        fields = json.loads((directory / "state.json").read_text(encoding="utf-8"))
        place = Place(**{**fields, "best": Standing(**fields.get("best", {}))})
    except (OSError, ValueError, TypeError) as error:
        en, ja = f"{directory} is no checkpoint: {error}", f"{directory} はチェックポイントではありません: {error}"
        raise configuration("CHECKPOINT_UNREADABLE", "checkpoint", en, ja) from error
    if place.fingerprint != expected:
        raise configuration(
            "CHECKPOINT_MISMATCH",
            "checkpoint",
            "the checkpoint was written with other rows, seed, length of training, or ranks x batch x accumulation",
            "チェックポイントは別のデータ、シード、学習の長さ、または「プロセス数×バッチ×勾配累積」で作られています",
        )
    return place


def save(
    directory: Path,
    place: Place,
    ranks: Ranks,
    *,
    model: Any,
    optimizer: Any,
    scheduler: Any,
    scaler: Any,
    best: Path | None = None,
) -> None:
    """Writes a checkpoint, with the file of the best weights where there is one; every rank calls it. It is whole on
    rank 0's node when this returns."""
    partial = directory.with_name(f".{directory.name}.partial")
    if ranks.first_here:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    ranks.wait()
    _write_part(partial, "random", ranks, lambda path: torch.save(_random_state(), path))
    shared = zero.is_sharing(optimizer)
    if shared:
        for name, content in zero.states(optimizer, ranks):
            _write_part(partial, name, ranks, functools.partial(torch.save, content))
    weights = trained(model, kept=ranks.rank == 0)
    if ranks.rank == 0:
        states = {"scheduler": scheduler.state_dict()}
        states |= {} if shared else {"optimizer": optimizer.state_dict()}
        states |= {"scaler": scaler.state_dict()} if scaler is not None else {}
        _write(partial / "trained.safetensors", lambda path: save_file(weights, path))
        if best is not None:
            os.link(best, partial / BEST_FILE)
        _write(partial / "states.pt", lambda path: torch.save(states, path))
        text = json.dumps(asdict(place), indent=2)
        _write(partial / "state.json", lambda path: path.write_text(text, encoding="utf-8"))
    ranks.wait()
    if ranks.rank == 0:
        shutil.rmtree(directory, ignore_errors=True)
        partial.replace(directory)
        _sync(directory.parent)
        _prune(directory.parent)
    elif ranks.first_here:
        shutil.rmtree(partial)
    ranks.wait()


def load_weights(directory: Path, model: Any) -> None:
    """Puts the trained weights back. Raises ConfigurationError where they are another model's."""
    put_weights(directory / "trained.safetensors", model)


def put_weights(file: Path, model: Any) -> None:
    """Puts trained weights from a file into the model. Raises ConfigurationError where they are another model's."""
    stored = load_file(file)
    own = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if {n: tuple(t.shape) for n, t in stored.items()} != {n: _whole_shape(p) for n, p in own.items()}:
        en, ja = (
            "the checkpoint holds other weights than the job trains",
            "チェックポイントの重みがこのジョブと一致しません",
        )
        raise configuration("CHECKPOINT_MISMATCH", "checkpoint", en, ja)
    with torch.no_grad():
        for name, parameter in own.items():
            with zero.gathered([parameter], written=True):
                if parameter.shape == stored[name].shape:  # under ZeRO-3 only where it is whole
                    parameter.copy_(stored[name])


def load_states(directory: Path, ranks: Ranks, *, optimizer: Any, scheduler: Any, scaler: Any) -> None:
    """Puts optimizer, schedule and this rank's random state back; call last before the first step."""
    states = torch.load(directory / "states.pt", weights_only=True, map_location="cpu")
    if zero.is_sharing(optimizer):
        zero.load_states(directory, optimizer, ranks)
    elif "optimizer" in states:
        optimizer.load_state_dict(states["optimizer"])
    else:
        raise zero.shared_otherwise()
    scheduler.load_state_dict(states["scheduler"])
    if scaler is not None:
        scaler.load_state_dict(states["scaler"])
    own = directory / f"random-{ranks.rank}.pt"
    if own.exists():  # another number of ranks goes on with fresh random states, which only dropout sees
        _set_random_state(torch.load(own, weights_only=True))


def trained(model: Any, *, kept: bool = True) -> dict[str, torch.Tensor]:
    """Everything that is trained, by name, whole, on the CPU; every rank calls it, and those that need nothing keep
    nothing."""
    found: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        with zero.gathered([parameter]):
            if kept:
                whole = parameter.detach().cpu().contiguous()
                found[name] = whole.clone() if zero.is_shared(parameter) else whole
    return found


def _whole_shape(parameter: Any) -> tuple[int, ...]:
    return tuple(parameter.ds_shape if zero.is_shared(parameter) else parameter.shape)


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _write_part(folder: Path, name: str, ranks: Ranks, write: Callable[[Path], object]) -> None:
    """Writes each rank's own file; rank 0's node gets all of them."""
    _write(folder / f"{name}-{ranks.rank}.pt", write)
    ranks.collect(lambda rank: folder / f"{name}-{rank}.pt")


def _write(path: Path, write: Callable[[Path], object]) -> None:
    write(path)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(folder: Path) -> None:
    """Removes all but the newest, and what a killed trainer left unfinished."""
    found = sorted(folder.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    for old in [*found[:-KEPT], *folder.glob(".step-*.partial")]:
        shutil.rmtree(old, ignore_errors=True)
