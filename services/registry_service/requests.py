"""What clients send, checked and in the words of the domain."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aift.common.v1 import blob_pb2
from aift.registry.v1 import registry_pb2 as pb
from google.protobuf.json_format import MessageToDict

from services.core import names
from services.core.errors import InvalidArgument, Violation
from services.registry_service.domain import HubSource, ModelKind, NewVersion, StoredFile
from services.registry_service.file_kinds import check_paths
from services.registry_service.hub_names import check_hub_id, check_revision, derived_id
from services.registry_service.model_files import MODEL, VERSION

MAX_DESCRIPTION = 4000
_MAX_CARD = 256 << 10
_MAX_JSON = 64 << 10
_MAX_METRICS = 200
_TRAINING_PREFIX = "training/"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHANGEABLE = ("display_name", "description")


def hub_source(request: pb.ImportBaseModelRequest) -> HubSource:
    """The model on the Hub that a request names. Raises InvalidArgument."""
    return HubSource(
        hub_id=check_hub_id(request.hub.hub_id, field="hub.hub_id"),
        revision=check_revision(request.hub.revision, field="hub.revision"),
    )


def base_model_id(request: pb.ImportBaseModelRequest, source: HubSource | None) -> str:
    """The id for a base model, derived from the Hub id when none is given. Raises InvalidArgument."""
    if request.base_model_id or source is None:
        return names.check_id(request.base_model_id, field="base_model_id")
    return derived_id(source.hub_id)


def check_base_files(files: Sequence[blob_pb2.UploadedFile]) -> None:
    """Raises InvalidArgument when the paths alone tell that this cannot be a base model."""
    paths = [file.path for file in files]
    check_paths(paths, field="uploads.files")
    if "config.json" not in paths or not any(path.endswith(".safetensors") for path in paths):
        raise InvalidArgument.field(
            "uploads.files",
            "NOT_A_MODEL",
            "Must hold config.json and at least one *.safetensors file.",
            "config.json と 1 つ以上の *.safetensors ファイルが必要です。",
        )


def model_id(name: str, *, field: str) -> str:
    """The id in "models/{model}". Raises InvalidArgument."""
    return names.parse(MODEL, name, field=field)["m"]


def version_ids(name: str, *, field: str = "name") -> tuple[str, int]:
    """Model and number in "models/{model}/versions/{n}". Raises InvalidArgument."""
    ids = names.parse(VERSION, name, field=field)
    return ids["m"], int(ids["n"])


def alias_ids(name: str) -> tuple[str, str]:
    """Model and alias in "models/{model}@{alias}". Raises InvalidArgument."""
    ids = names.parse("models/{m}@{alias}", name)
    if ids["alias"].isdecimal():
        raise InvalidArgument.field(
            "name",
            "ALIAS_IS_NUMBER",
            "An alias must not be a number: versions are.",
            "エイリアスに数字だけの名前は使えません (バージョン番号と紛らわしいため)。",
        )
    return ids["m"], ids["alias"]


def texts(model: pb.Model, *, field: str) -> dict[str, str]:
    """display_name and description of a model. Raises InvalidArgument."""
    return {
        "display_name": names.check_text(model.display_name, field=f"{field}.display_name"),
        "description": names.check_text(model.description, field=f"{field}.description", max_chars=MAX_DESCRIPTION),
    }


def changed_texts(request: pb.UpdateModelRequest) -> dict[str, str]:
    """What an update changes. Raises InvalidArgument for a path that cannot be changed."""
    paths = list(request.update_mask.paths) or list(_CHANGEABLE)
    unknown = [path for path in paths if path not in _CHANGEABLE]
    if unknown:
        raise InvalidArgument.field(
            "update_mask",
            "NOT_CHANGEABLE",
            f"Only display_name and description can be changed, got {unknown[0][:80]!r}.",
            f"変更できるのは display_name と description だけです (指定値: {unknown[0][:80]!r})。",
        )
    changed = {name: value for name, value in texts(request.model, field="model").items() if name in paths}
    if changed.get("display_name") == "":
        changed["display_name"] = model_id(request.model.name, field="model.name")
    return changed


def lineage_name(name: str) -> str:
    """A name that is in no need of the registry to be understood. Raises InvalidArgument."""
    patterns = (VERSION, "baseModels/{b}", "trainingJobs/{j}", "datasets/{d}/versions/{n}")
    if not any(names.matches(pattern, name) for pattern in patterns):
        raise InvalidArgument.field(
            "name",
            "INVALID_NAME",
            "Must name a model version, base model, training job or data set version.",
            "モデルのバージョン、ベースモデル、学習ジョブ、データセットのバージョンのいずれかを指定してください。",
        )
    return name


def new_version(request: pb.CreateModelVersionRequest) -> NewVersion:
    """The result of a training job. Raises InvalidArgument."""
    said = request.model_version
    names.parse("trainingJobs/{j}", said.training_job, field="model_version.training_job")
    names.parse("baseModels/{b}", said.base_model, field="model_version.base_model")
    if said.dataset_version:
        names.parse("datasets/{d}/versions/{n}", said.dataset_version, field="model_version.dataset_version")
    if said.kind == pb.MODEL_KIND_UNSPECIFIED or said.kind not in pb.ModelKind.values():
        raise InvalidArgument.field("model_version.kind", "REQUIRED", "Must be set.", "指定が必要です。")
    hyperparameters = MessageToDict(said.hyperparameters)
    _check_sizes(said, hyperparameters)
    return NewVersion(
        kind=ModelKind(pb.ModelKind.Name(said.kind).removeprefix("MODEL_KIND_")),
        base_model=said.base_model,
        base_model_digest=said.base_model_digest,
        dataset_version=said.dataset_version,
        training_job=said.training_job,
        template_json=said.template_json,
        metrics=dict(said.metrics),
        hyperparameters=hyperparameters,
        card=said.card,
        files=_handed_over(request.files),
    )


def _check_sizes(said: pb.ModelVersion, hyperparameters: Mapping[str, Any]) -> None:
    limits = {
        "card": (len(said.card.encode()), _MAX_CARD),
        "template_json": (len(said.template_json.encode()), _MAX_JSON),
        "hyperparameters": (len(json.dumps(hyperparameters)), _MAX_JSON),
        "metrics": (len(said.metrics), _MAX_METRICS),
    }
    violations = [
        Violation(
            f"model_version.{field}",
            "TOO_LONG",
            f"Must be at most {limit} long, got {size}.",
            f"長さは {limit} 以内にしてください (指定: {size})。",
        )
        for field, (size, limit) in limits.items()
        if size > limit
    ]
    if violations:
        raise InvalidArgument(violations)


def _handed_over(files: Sequence[blob_pb2.FileBlob]) -> tuple[StoredFile, ...]:
    """Files of the training service: well-formed, and of its own part of the store."""
    check_paths([file.path for file in files], field="files")
    for index, file in enumerate(files):
        if not file.blob.key.startswith(_TRAINING_PREFIX) or _SHA256.fullmatch(file.blob.sha256) is None:
            raise InvalidArgument.field(
                f"files[{index}].blob",
                "INVALID_BLOB",
                f'Must have a SHA-256 and a key that begins with "{_TRAINING_PREFIX}".',
                f"SHA-256 と「{_TRAINING_PREFIX}」で始まるキーが必要です。",
            )
    return tuple(
        StoredFile(path=f.path, size_bytes=f.blob.size_bytes, sha256=f.blob.sha256, key=f.blob.key) for f in files
    )
