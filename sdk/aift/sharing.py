"""The manual's names for sharing a training out by DeepSpeed, as hyperparameters of ours."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aift.errors import AiftError, invalid

SHARING: Final = ("use_deepspeed", "deepspeed_config", "cpu_offload")
"""Names that mean several hyperparameters at once. Those that are set by their own names win."""
PLACES: Final = ("offload_optimizer", "offload_param")
"""Where lies what can be offloaded."""

PRESETS: Final[Mapping[str, Mapping[str, object]]] = {
    "large": {"deepspeed_stage": 2, "offload_optimizer": "cpu"},
    "ultra-large": {"deepspeed_stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"},
}
_DEFAULT_STAGE = 2


def shared_out(use: bool, config: str, offload: bool) -> dict[str, object]:
    """The hyperparameters that use_deepspeed, deepspeed_config and cpu_offload ask for.

    config is a preset, the manual's file of it (ds_config_large.json), or a file of one's own, of which the stage, the
    places of what is offloaded and the first nvme_path are taken; batch, optimizer and precision are the training's.
    Raises AiftError.
    """
    if not (use or config or offload):
        return {}
    asked = dict(_configured(config) if config else {"deepspeed_stage": _DEFAULT_STAGE})
    if offload and asked["deepspeed_stage"]:
        asked["offload_optimizer"] = "cpu"
        if asked["deepspeed_stage"] == 3:
            asked["offload_param"] = "cpu"
    return asked


def on_disk(*, four_bits: bool) -> dict[str, object]:
    """The hyperparameters that a disk_offload_dir asks for where nothing else says what is to lie there. Weights in 4
    bits stay in memory."""
    return {"deepspeed_stage": 3, "offload_optimizer": "nvme", "offload_param": "cpu" if four_bits else "nvme"}


def _configured(config: str) -> Mapping[str, object]:
    path = Path(config).expanduser()
    if path.is_file():
        return _of_file(path)
    name = path.name.removesuffix(".json").removeprefix("ds_config_").replace("_", "-")
    if name in PRESETS:
        return PRESETS[name]
    raise _wrong(
        f"{config!r} is neither a file nor one of {', '.join(PRESETS)}",
        f"{config!r} はファイルでも {'、'.join(PRESETS)} でもありません",
    )


def _of_file(path: Path) -> dict[str, object]:
    try:
        zero = json.loads(path.read_text(encoding="utf-8"))["zero_optimization"]
        stage = zero["stage"]
        sections = {name: zero.get(name) or {} for name in PLACES}
        places = {name: section.get("device", "none") for name, section in sections.items()}
        directories = [str(section["nvme_path"]) for section in sections.values() if section.get("nvme_path")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(
            f"{path} is no DeepSpeed configuration with zero_optimization.stage: {error}",
            f"{path} は zero_optimization.stage を持つ DeepSpeed の設定ではありません: {error}",
        ) from error
    asked = {"deepspeed_stage": stage, **{name: place for name, place in places.items() if place != "none"}}
    if "nvme" in places.values() and directories:
        asked["disk_offload_dir"] = directories[0]
    return asked


def _wrong(en: str, ja: str) -> AiftError:
    return invalid(
        "deepspeed_config", "INVALID_HYPERPARAMETER", f"deepspeed_config: {en}.", f"deepspeed_config: {ja}。"
    )
