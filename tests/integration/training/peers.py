"""What the training service asks of the data service and of the registry, answered from memory over real sockets."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import grpc
from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2, data_pb2_grpc
from aift.registry.v1 import registry_pb2, registry_pb2_grpc
from google.protobuf.empty_pb2 import Empty

from services.core import context, names
from services.core.errors import NotFound, Unavailable
from services.core.objects import ObjectStore
from services.core.objects.directory import DirectoryStore

ROWS = 100


def file_url(path: Path, name: str) -> blob_pb2.FileUrl:
    """A file of this machine as a worker is told of it."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return blob_pb2.FileUrl(path=name, size_bytes=len(content), sha256=digest, url=path.as_uri())


class Data(data_pb2_grpc.DataServiceServicer):
    """One data set, "datasets/faq/versions/1"."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(b"rows")
        (folder / "faq.jsonl").write_bytes(b"original")
        self.files = [
            file_url(folder / "rows.parquet", "rows.parquet"),
            file_url(folder / "faq.jsonl", "original/faq.jsonl"),
        ]
        self.reset()

    def reset(self) -> None:
        """As at first."""
        self.gone = False
        self.away = False
        self.rows = ROWS
        self.median = 40
        self.trained_tokens = 0
        self.labels: list[bool] = []
        self.references: set[tuple[str, str]] = set()

    async def GetDatasetVersion(self, request: data_pb2.GetDatasetVersionRequest, _: Any) -> data_pb2.DatasetVersion:
        names.parse("datasets/{dataset}", request.name.partition("/versions/")[0])
        if request.name not in ("datasets/faq", "datasets/faq/versions/1"):
            raise NotFound(request.name)
        return data_pb2.DatasetVersion(
            name="datasets/faq/versions/1",
            sha256=self.files[-1].sha256,
            template=self._template(),
            statistics=data_pb2.DatasetStatistics(
                rows=self.rows,
                characters=self.rows * 40,
                max_characters=80,
                median_characters=self.median,
                histogram_counts=[self.rows],
                histogram_bounds=[128],
            ),
        )

    def _template(self) -> data_pb2.RowTemplate:
        """Of rows that are wanted or not where a test gave labels, else of texts."""
        if self.labels:
            return data_pb2.RowTemplate(form=data_pb2.ROW_FORM_LABELED, train_on=data_pb2.TRAIN_ON_COMPLETION)
        return data_pb2.RowTemplate(
            form=data_pb2.ROW_FORM_TEXT,
            train_on=data_pb2.TRAIN_ON_COMPLETION,
            prompt_marker="質問: ",
            completion_marker="\n回答: ",
        )

    async def PreviewRows(self, request: data_pb2.PreviewRowsRequest, _: Any) -> data_pb2.PreviewRowsResponse:
        shown = list(enumerate(self.labels))[request.offset : request.offset + request.limit]
        rows = [data_pb2.Row(index=index, json=json.dumps({"label": label})) for index, label in shown]
        return data_pb2.PreviewRowsResponse(rows=rows, total_rows=len(self.labels))

    async def PreviewSupervision(
        self, request: data_pb2.PreviewSupervisionRequest, _: Any
    ) -> data_pb2.PreviewSupervisionResponse:
        """Rows that are cut at any length."""
        return data_pb2.PreviewSupervisionResponse(
            rows=[data_pb2.SupervisedRow()] * request.limit, trained_tokens=self.trained_tokens, truncated_tokens=900
        )

    async def GetTokenStatistics(self, request: data_pb2.GetTokenStatisticsRequest, _: Any) -> data_pb2.TokenStatistics:
        raise NotFound(f"{request.name}/tokenStatistics")

    async def AddDatasetReference(self, request: data_pb2.AddDatasetReferenceRequest, _: Any) -> Empty:
        if self.away:
            raise Unavailable("data service's database", retry_after_s=0.1)
        self.references.add((request.dataset_version, request.referrer))
        return Empty()

    async def RemoveDatasetReference(self, request: data_pb2.RemoveDatasetReferenceRequest, _: Any) -> Empty:
        if self.away:
            raise Unavailable("data service's database", retry_after_s=0.1)
        self.references.discard((request.dataset_version, request.referrer))
        return Empty()

    async def GetDatasetFiles(
        self, request: data_pb2.GetDatasetFilesRequest, _: Any
    ) -> data_pb2.GetDatasetFilesResponse:
        if self.gone:
            raise NotFound(request.name)
        if self.away:
            raise Unavailable("data service's database", retry_after_s=0.1)
        return data_pb2.GetDatasetFilesResponse(files=self.files)


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """One base model, "baseModels/tiny", and the versions that it is told of."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"tensors")
        self.files = [file_url(path, path.name) for path in sorted(folder.iterdir())]
        self.folder = folder
        self.objects: ObjectStore = DirectoryStore(folder)
        self.reset()

    def reset(self) -> None:
        """As at first."""
        self.created: dict[str, registry_pb2.ModelVersion] = {}
        self.calls: list[registry_pb2.CreateModelVersionRequest] = []
        self.tenants: list[tuple[str, str]] = []
        self.away = False
        self.refusal: grpc.StatusCode | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.context_tokens = 512

    async def GetBaseModel(self, request: registry_pb2.GetBaseModelRequest, _: Any) -> registry_pb2.BaseModel:
        if request.name == "baseModels/importing":
            return registry_pb2.BaseModel(name=request.name, state=registry_pb2.BASE_MODEL_STATE_IMPORTING)
        if request.name not in ("baseModels/tiny", "baseModels/some/Tiny-Model"):
            raise NotFound(request.name)
        shape = registry_pb2.ModelShape(
            architecture="LlamaForCausalLM",
            parameters=2_160_000,
            hidden_size=192,
            intermediate_size=512,
            layers=4,
            attention_heads=6,
            key_value_heads=2,
            vocabulary_size=2048,
            max_context_tokens=self.context_tokens,
            tied_embeddings=True,
            dtype="bfloat16",
        )
        return registry_pb2.BaseModel(
            name="baseModels/tiny", state=registry_pb2.BASE_MODEL_STATE_READY, digest="ab" * 32, shape=shape
        )

    async def GetModelVersion(self, request: registry_pb2.GetModelVersionRequest, _: Any) -> registry_pb2.ModelVersion:
        """An adapter "models/polite", whole weights "models/whole", an adapter of another base model, and one of the same
        by another name."""
        kinds = {
            "models/polite": "ADAPTER",
            "models/whole": "FULL",
            "models/foreign": "ADAPTER",
            "models/renamed": "ADAPTER",
        }
        if request.name not in kinds:
            raise NotFound(request.name)
        version = registry_pb2.ModelVersion(
            name=f"{request.name}/versions/1",
            kind=registry_pb2.ModelKind.Value(f"MODEL_KIND_{kinds[request.name]}"),
            base_model="baseModels/other" if request.name == "models/renamed" else "baseModels/tiny",
            base_model_digest="cd" * 32 if request.name == "models/foreign" else "ab" * 32,
            digest="ab" * 32,
        )
        version.hyperparameters.update({"lora_r": 4, "lora_alpha": 8, "lora_target_modules": ["q_proj"]})
        return version

    async def GetModelFiles(
        self, request: registry_pb2.GetModelFilesRequest, _: Any
    ) -> registry_pb2.GetModelFilesResponse:
        return registry_pb2.GetModelFilesResponse(name=request.name, digest="ab" * 32, files=self.files)

    async def CreateModelVersion(
        self, request: registry_pb2.CreateModelVersionRequest, grpc_context: Any
    ) -> registry_pb2.ModelVersion:
        if self.away:
            raise Unavailable("registry's database", retry_after_s=0.1)
        await self.open.wait()
        if self.refusal is not None:
            await grpc_context.abort(self.refusal, "refused by the test")
        call = context.current()
        self.tenants.append((call.tenant, call.principal))
        self.calls.append(request)
        job = request.model_version.training_job
        if job not in self.created:
            for file in request.files:
                stored = b"".join([piece async for piece in self.objects.open(file.blob.key)])
                assert hashlib.sha256(stored).hexdigest() == file.blob.sha256
            version = registry_pb2.ModelVersion()
            version.CopyFrom(request.model_version)
            version.name = f"{request.model}/versions/{len(self.created) + 1}"
            self.created[job] = version
        return self.created[job]
