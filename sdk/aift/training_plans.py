"""What a training is made from, and what it would take: described, planned, made to fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import grpc

from aift.checks import texts, within
from aift.connection import Connection
from aift.errors import AiftError, invalid
from aift.hyperparameters import hyperparameters
from aift.names import qualified
from aift.training.v1 import training_pb2

MOST_PROCESSES = 64
_COUNTED = re.compile(r"\s*(\d+)\s*[xX]\s*(.*?)\s*")  # "2xA5000"
_MOST_GPUS = 64


class TrainingPlans:
    """The part of `client.training` that starts nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = connection.training

    def spec(
        self,
        base_model: str,
        dataset_version: str,
        settings: Mapping[str, object] | training_pb2.Hyperparameters | None = None,
        *,
        eval_dataset_version: str = "",
        model: str = "",
        sample_prompts: Sequence[str] = (),
        processes: int = 0,
        start_from: str = "",
    ) -> training_pb2.TrainingSpec:
        """What a job is made from. settings are hyperparameters by any of their names (aift.hyperparameters)."""
        given = settings if isinstance(settings, training_pb2.Hyperparameters) else hyperparameters(settings or {})
        return training_pb2.TrainingSpec(
            base_model=qualified("baseModels", base_model) if base_model else "",
            start_from=qualified("models", start_from) if start_from else "",
            dataset_version=qualified("datasets", dataset_version),
            eval_dataset_version=qualified("datasets", eval_dataset_version) if eval_dataset_version else "",
            hyperparameters=given,
            model=qualified("models", model) if model else "",
            sample_prompts=texts("sample_prompts", sample_prompts),
            processes=within("processes", processes, 0, MOST_PROCESSES),
        )

    def plan(self, spec: training_pb2.TrainingSpec, *, gpu: str = "") -> training_pb2.TrainingPlan:
        """What a job would take: parameters, rows, steps, memory by part, which workers it fits, and what would help.

        gpu asks for hardware that need not be there: "A5000", "2xA5000", or by memory "4x24GB".
        """
        request = training_pb2.PlanTrainingRequest(spec=spec)
        if gpu:
            counted = _COUNTED.fullmatch(gpu)
            request.hardware.gpus = within("gpus", int(counted[1]), 1, _MOST_GPUS) if counted else 1
            request.hardware.gpu_model = counted[2] if counted else gpu
        return self._connection.call("training", self._stub.PlanTraining, request, timeout_s=120.0)

    def deepspeed_config(
        self,
        preset: str = "",
        settings: Mapping[str, object] | training_pb2.Hyperparameters | None = None,
        *,
        processes: int = 0,
        nvme_path: str = "",
    ) -> training_pb2.DeepSpeedConfig:
        """DeepSpeed's configuration of a preset ("large", "ultra-large"), of hyperparameters, or of both, which win."""
        given = settings if isinstance(settings, training_pb2.Hyperparameters) else hyperparameters(settings or {})
        request = training_pb2.GenerateDeepSpeedConfigRequest(
            preset=_preset(preset),
            hyperparameters=given,
            processes=within("processes", processes, 0, MOST_PROCESSES),
            nvme_path=nvme_path,
        )
        return self._connection.call("training", self._stub.GenerateDeepSpeedConfig, request, timeout_s=60.0)

    def fitted(self, spec: training_pb2.TrainingSpec, *, gpu: str = "") -> training_pb2.TrainingSpec:
        """The spec with the plan's remedies applied, as many as it takes to fit. Raises AiftError DOES_NOT_FIT."""
        plan = self.plan(spec, gpu=gpu)
        fitted = training_pb2.TrainingSpec()
        fitted.CopyFrom(spec)
        for remedy in plan.remedies:
            fitted.hyperparameters.MergeFrom(remedy.changes)
            fitted.processes = remedy.processes or fitted.processes
        if plan.remedies and not plan.remedies[-1].fits:
            raise AiftError(
                "DOES_NOT_FIT",
                grpc.StatusCode.FAILED_PRECONDITION,
                "No change of the settings makes this training fit the memory that there is.",
                "どの設定変更でも、利用できるメモリに収まりません。",
            )
        return fitted


def _preset(word: str) -> training_pb2.DeepSpeedPreset.ValueType:
    presets = {
        "": training_pb2.DEEP_SPEED_PRESET_UNSPECIFIED,
        "large": training_pb2.DEEP_SPEED_PRESET_LARGE,
        "ultra-large": training_pb2.DEEP_SPEED_PRESET_ULTRA_LARGE,
    }
    written = word.strip().lower().replace("_", "-")
    if written in presets:
        return presets[written]
    raise invalid(
        "preset",
        "UNKNOWN_VALUE",
        f"preset is {word!r}; choose large or ultra-large.",
        f"preset の {word!r} は使えません。large か ultra-large を選んでください。",
    )
