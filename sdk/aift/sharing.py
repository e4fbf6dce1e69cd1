"""The manual's names for sharing a training out by DeepSpeed, as hyperparameters of ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aift.deepspeed_file import settings_of, wrong

SHARING: Final = ("use_deepspeed", "deepspeed_config", "cpu_offload")
"""Names that mean several hyperparameters at once. Those that are set by their own names win."""
SHARING_ALIASES: Final[Mapping[str, str]] = {"deepspeed": "deepspeed_config"}
"""Another name → the one in SHARING."""

PRESETS: Final[Mapping[str, Mapping[str, object]]] = {
    "large": {"deepspeed_stage": 2, "offload_optimizer": "cpu"},
    "ultra-large": {"deepspeed_stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"},
}
_DEFAULT_STAGE = 2


def shared_out(use: bool, config: str, offload: bool) -> dict[str, object]:
    """The hyperparameters that use_deepspeed, deepspeed_config and cpu_offload ask for.

    config is a preset, the manual's file of it (ds_config_large.json), or a file of one's own. Raises AiftError.
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
        return settings_of(path)
    name = path.name.removesuffix(".json").removeprefix("ds_config_").replace("_", "-")
    if name in PRESETS:
        return PRESETS[name]
    raise wrong(
        f"{config!r} is neither a file nor one of {', '.join(PRESETS)}",
        f"{config!r} はファイルでも {'、'.join(PRESETS)} でもありません",
    )
