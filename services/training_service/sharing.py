"""GenerateDeepSpeedConfig: from its request to DeepSpeed's configuration."""

from collections.abc import Mapping
from typing import Any

from aift.training.v1 import training_pb2 as pb

from services.core.errors import InvalidArgument
from services.training_service import messages
from services.training_service.deepspeed_config import LARGE, ULTRA_LARGE, Shape, deepspeed_config, to_json

_PRESETS: Mapping[int, Mapping[str, Any]] = {
    pb.DEEP_SPEED_PRESET_UNSPECIFIED: {},
    pb.DEEP_SPEED_PRESET_LARGE: LARGE,
    pb.DEEP_SPEED_PRESET_ULTRA_LARGE: ULTRA_LARGE,
}
_MOST_PROCESSES = 64
_MOVED = ("offload_optimizer", "offload_param")


def generated(request: pb.GenerateDeepSpeedConfigRequest) -> pb.DeepSpeedConfig:
    """The configuration of a request. Raises InvalidArgument naming what is wrong in it."""
    if request.preset not in _PRESETS:
        raise _wrong(
            "preset", "UNKNOWN_VALUE", "Choose LARGE or ULTRA_LARGE.", "LARGE か ULTRA_LARGE を選んでください。"
        )
    if not 0 <= request.processes <= _MOST_PROCESSES:
        en, ja = f"Choose 0 to {_MOST_PROCESSES}.", f"0 から {_MOST_PROCESSES} で指定してください。"
        raise _wrong("processes", "OUT_OF_RANGE", en, ja)
    asked = messages.hyperparameters_to(_PRESETS[request.preset])
    asked.MergeFrom(request.hyperparameters)
    values = messages.hyperparameters_from(asked, path="hyperparameters")
    if request.nvme_path and values.deepspeed_stage != 3:
        raise _wrong("nvme_path", "NEEDS_DEEPSPEED_STAGE", "Only stage 3 offloads to disk.", "stage 3 でのみ使えます。")
    if request.nvme_path:
        moved = {name: "nvme" for name in _MOVED if getattr(values, name) == "cpu"}
        asked.MergeFrom(messages.hyperparameters_to({**moved, "disk_offload_dir": request.nvme_path}))
        values = messages.hyperparameters_from(asked, path="hyperparameters")
    if values.on_disk and not values.disk_offload_dir:
        en, ja = "Name the directory that it is moved to.", "移動先のディレクトリを指定してください。"
        raise _wrong("nvme_path", "NO_DISK_OFFLOAD_DIR", en, ja)
    shape = Shape(
        processes=request.processes or 1,
        micro_batches=values.gradient_accumulation_steps,
        nvme_path=values.disk_offload_dir,
    )
    return pb.DeepSpeedConfig(json=to_json(deepspeed_config(values, shape)), hyperparameters=asked)


def _wrong(field: str, reason: str, en: str, ja: str) -> InvalidArgument:
    return InvalidArgument.field(field, reason, en, ja)
