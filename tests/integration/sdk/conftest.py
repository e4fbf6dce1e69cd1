"""Small servers that speak the contracts over real sockets and fail where a test tells them to."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import grpc
import pytest
from aift.client import Client
from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2, data_pb2_grpc
from aift.inference.v1 import inference_pb2, inference_pb2_grpc
from aift.registry.v1 import registry_pb2, registry_pb2_grpc
from aift.training.v1 import training_pb2, training_pb2_grpc
from google.protobuf.empty_pb2 import Empty
from grpc_status import rpc_status

from services.core import errors, names
from services.core.status import translate
from tests.integration.sdk.fake_data_views import FakeDataViews


def refuse(context: grpc.ServicerContext, error: errors.DomainError) -> NoReturn:
    """Ends the call as the services do."""
    context.abort_with_status(rpc_status.to_status(translate(error)))
    raise AssertionError


def cut(context: grpc.ServicerContext) -> NoReturn:
    """Ends the call as a lost connection does: no details."""
    context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
    raise AssertionError


@dataclass
class Faults:
    """What goes wrong, each once an entry, in order."""

    uploads: list[int | str] = field(default_factory=list)  # bytes after which a stream is cut, or "gap"
    reads: list[int] = field(default_factory=list)  # bytes after which a download is cut
    watches: list[int] = field(default_factory=list)  # events after which a watch is cut
    generations: list[errors.DomainError] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)  # pieces after which a generation stream is cut
    calls: list[Callable[[grpc.ServicerContext], NoReturn]] = field(default_factory=list)  # of unary data calls


class FakeData(FakeDataViews):
    """Uploads and data sets in memory."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.content: dict[str, bytearray] = {}
        self.uploads: dict[str, data_pb2.Upload] = {}
        self.datasets: dict[str, data_pb2.Dataset] = {}
        self.offsets: list[int] = []
        self.request_ids: list[str] = []
        self.metadata: dict[str, str] = {}
        self.polls = 0
        self.away = 0
        self.invalid = False
        self.asked: dict[str, Any] = {}
        self.checked: Any = None

    def CreateUpload(self, request: Any, context: grpc.ServicerContext) -> data_pb2.Upload:
        self.metadata = {entry.key: str(entry.value) for entry in context.invocation_metadata()}
        self.request_ids.append(request.request_id)
        if self.faults.calls:
            self.faults.calls.pop(0)(context)
        name = f"uploads/u{len(self.uploads) + 1}"
        self.content[name] = bytearray()
        upload = data_pb2.Upload(name=name, filename=request.filename, size_bytes=request.size_bytes)
        upload.state = data_pb2.UPLOAD_STATE_OPEN
        self.uploads[name] = upload
        return upload

    def GetUpload(self, request: Any, context: grpc.ServicerContext) -> data_pb2.Upload:
        if request.name not in self.uploads:
            refuse(context, errors.NotFound(resource=request.name))
        self.uploads[request.name].committed_bytes = len(self.content[request.name])
        return self.uploads[request.name]

    def WriteUpload(self, request_iterator: Any, context: grpc.ServicerContext) -> data_pb2.Upload:
        fault = self.faults.uploads.pop(0) if self.faults.uploads else None
        received = 0
        for message in request_iterator:
            content = self.content[message.name]
            if not received:
                self.offsets.append(message.offset_bytes)
            if fault == "gap" or message.offset_bytes != len(content):
                context.abort(grpc.StatusCode.OUT_OF_RANGE, "gap")
            content += message.data
            received += len(message.data)
            if isinstance(fault, int) and received >= fault:
                cut(context)
        return self.GetUpload(message, context)

    def FinalizeUpload(self, request: Any, context: grpc.ServicerContext) -> data_pb2.Upload:
        upload = self.GetUpload(request, context)
        upload.sha256 = hashlib.sha256(self.content[request.name]).hexdigest()
        if request.sha256 != upload.sha256:
            context.abort(grpc.StatusCode.DATA_LOSS, "digest")
        upload.state = data_pb2.UPLOAD_STATE_FINALIZED
        return upload

    def CreateDataset(self, request: Any, context: grpc.ServicerContext) -> data_pb2.Dataset:
        name = f"datasets/{request.dataset_id or 'made'}"
        if name in self.datasets:
            refuse(context, errors.AlreadyExists(resource=name))
        self.datasets[name] = data_pb2.Dataset(name=name, display_name=request.dataset.display_name)
        return self.datasets[name]

    def GetDataset(self, request: Any, context: grpc.ServicerContext) -> data_pb2.Dataset:
        try:
            names.parse("datasets/{dataset}", request.name)
        except errors.InvalidArgument as error:
            refuse(context, error)
        if request.name not in self.datasets:
            refuse(context, errors.NotFound(resource=request.name))
        return self.datasets[request.name]

    def UpdateDataset(self, request: Any, context: grpc.ServicerContext) -> data_pb2.Dataset:
        self.datasets[request.dataset.name].MergeFrom(request.dataset)
        return self.datasets[request.dataset.name]

    def ListDatasets(self, request: Any, context: grpc.ServicerContext) -> data_pb2.ListDatasetsResponse:
        all_of_them = list(self.datasets.values())
        at = int(request.page_token or 0)
        more = str(at + 2) if at + 2 < len(all_of_them) else ""
        return data_pb2.ListDatasetsResponse(datasets=all_of_them[at : at + 2], next_page_token=more)

    def DeleteDataset(self, request: Any, context: grpc.ServicerContext) -> Empty:
        self.GetDataset(request, context)
        del self.datasets[request.name]
        return Empty()

    def ValidateDataset(self, request: Any, context: grpc.ServicerContext) -> data_pb2.DataJob:
        self.checked = request
        self.checked.dataset = request.dataset or "datasets/made"
        new = data_pb2.Dataset(name=self.checked.dataset, display_name=request.new_dataset.display_name)
        self.datasets.setdefault(self.checked.dataset, new)
        return data_pb2.DataJob(name="dataJobs/j1", dataset=request.dataset, state=data_pb2.DATA_JOB_STATE_QUEUED)

    def GetDataJob(self, request: Any, context: grpc.ServicerContext) -> data_pb2.DataJob:
        if self.away:
            self.away -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting again")
        self.polls += 1
        dataset = self.checked.dataset if self.checked else "datasets/rows"
        job = data_pb2.DataJob(name=request.name, dataset=dataset, total_bytes=10, done_bytes=5)
        job.state = data_pb2.DATA_JOB_STATE_RUNNING
        if self.polls > 1:
            job.state = data_pb2.DATA_JOB_STATE_SUCCEEDED
            job.dataset_version = f"{job.dataset}/versions/1"
        if self.polls > 1 and self.invalid:
            job.state = data_pb2.DATA_JOB_STATE_FAILED
            job.failure.reason = "DATA_INVALID"
            job.failure.message.en = "1 row is not valid"
        return job

    def GetValidationReport(self, request: Any, context: grpc.ServicerContext) -> data_pb2.ValidationReport:
        report = data_pb2.ValidationReport(data_job="dataJobs/j1", valid=not self.invalid, rows=3, valid_rows=3)
        if self.invalid:
            report.valid_rows = 2
            finding = report.findings.add(reason="INVALID_JSON", severity=data_pb2.SEVERITY_ERROR, count=1)
            finding.message.en = "not JSON"
            finding.examples.add(line=3, excerpt="{broken")
        return report

    def GetDatasetVersion(self, request: Any, context: grpc.ServicerContext) -> data_pb2.DatasetVersion:
        if self.checked is None:
            return data_pb2.DatasetVersion(name=f"{request.name.partition('/versions/')[0]}/versions/1")
        upload = self.uploads[self.checked.upload]
        return data_pb2.DatasetVersion(
            name=request.name if "/versions/" in request.name else f"{request.name}/versions/1",
            sha256=upload.sha256,
            size_bytes=len(self.content[upload.name]),
            filename=upload.filename,
            statistics=data_pb2.DatasetStatistics(rows=3),
            files=[
                blob_pb2.FileEntry(
                    path=f"original/{upload.filename}",
                    size_bytes=len(self.content[upload.name]),
                    sha256=upload.sha256,
                )
            ],
        )

    def ReadDataset(self, request: Any, context: grpc.ServicerContext) -> Iterator[data_pb2.ReadDatasetResponse]:
        content = bytes(self.content[self.checked.upload])
        self.offsets.append(request.offset_bytes)
        fault = self.faults.reads.pop(0) if self.faults.reads else None
        for at in range(request.offset_bytes, len(content), 1000):
            if fault is not None and at - request.offset_bytes >= fault:
                cut(context)
            yield data_pb2.ReadDatasetResponse(data=content[at : at + 1000])


class FakeTraining(training_pb2_grpc.TrainingServiceServicer):
    """One job whose events are written beforehand."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.state = training_pb2.TRAINING_JOB_STATE_SUCCEEDED
        self.never_ends = False
        self.asked: list[int] = []
        self.created: Any = None
        self.every_request: list[Any] = []
        self.most_jobs = 1000
        self.remedies: list[training_pb2.PlanRemedy] = []
        self.planned: Any = None
        states = (training_pb2.TRAINING_JOB_STATE_QUEUED, training_pb2.TRAINING_JOB_STATE_RUNNING)
        self.events = [self._state(state) for state in states]
        for step in range(1, 6):
            metric = training_pb2.Metric(step=step, values={"loss": 1 / step, "tokens_per_second": 900})
            self.events.append(training_pb2.TrainingEvent(metric=metric))
        self.events.append(training_pb2.TrainingEvent(log=training_pb2.LogLines(lines=["one", "two"])))

    def _state(self, state: Any) -> training_pb2.TrainingEvent:
        return training_pb2.TrainingEvent(state_changed=training_pb2.StateChanged(state=state))

    def all_events(self) -> list[training_pb2.TrainingEvent]:
        events = [*self.events, self._state(self.state)]
        for number, event in enumerate(events, 1):
            event.sequence = number
        return events

    def CreateTrainingJob(self, request: Any, context: grpc.ServicerContext) -> training_pb2.TrainingJob:
        if len(self.every_request) >= self.most_jobs:
            refuse(context, errors.ResourceExhausted("jobs", limit=self.most_jobs))
        if request.training_job.spec.hyperparameters.lora_r > 1024:
            field = "training_job.spec.hyperparameters.lora_r"
            refuse(context, errors.InvalidArgument.field(field, "OUT_OF_RANGE", "Is above 1024.", "1024 以下です。"))
        if not request.validate_only:
            self.created = request
            self.every_request.append(request)
        return training_pb2.TrainingJob(
            name="trainingJobs/j1", spec=request.training_job.spec, state=training_pb2.TRAINING_JOB_STATE_QUEUED
        )

    def GetTrainingJob(self, request: Any, context: grpc.ServicerContext) -> training_pb2.TrainingJob:
        if request.name != "trainingJobs/j1":
            refuse(context, errors.NotFound(resource=request.name))
        job = training_pb2.TrainingJob(name=request.name, state=self.state, last_sequence=len(self.all_events()))
        if self.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
            job.model_version = "models/m/versions/1"
        if self.state == training_pb2.TRAINING_JOB_STATE_FAILED:
            job.failure.reason = "OUT_OF_MEMORY"
            job.failure.message.en = "memory was not enough"
            job.failure.message.ja = "メモリが足りません"
        return job

    def ListTrainingJobs(self, request: Any, context: grpc.ServicerContext) -> training_pb2.ListTrainingJobsResponse:
        job = training_pb2.TrainingJob(name="trainingJobs/j1", state=self.state)
        return training_pb2.ListTrainingJobsResponse(training_jobs=[job])

    def WatchTrainingJob(self, request: Any, context: grpc.ServicerContext) -> Iterator[training_pb2.TrainingEvent]:
        self.asked.append(request.after_sequence)
        fault = self.faults.watches.pop(0) if self.faults.watches else None
        yield training_pb2.TrainingEvent()
        while self.never_ends and context.is_active():
            time.sleep(0.05)
        for sent, event in enumerate(self.all_events()[request.after_sequence :]):
            if sent == fault:
                cut(context)
            yield event

    def GenerateDeepSpeedConfig(self, request: Any, context: grpc.ServicerContext) -> training_pb2.DeepSpeedConfig:
        preset = training_pb2.DeepSpeedPreset.Name(request.preset)
        content = f'{{"preset": "{preset}", "batch": {request.hyperparameters.per_device_train_batch_size}}}\n'
        return training_pb2.DeepSpeedConfig(json=content)

    def PlanTraining(self, request: Any, context: grpc.ServicerContext) -> training_pb2.TrainingPlan:
        self.planned = request
        return training_pb2.TrainingPlan(
            spec=request.spec, parameters=1000, trainable_parameters=10, steps=7, remedies=self.remedies
        )


class FakeRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """One base model and one version whose single file is served in pieces."""

    content = bytes(range(256)) * 40

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.imported: Any = None
        self.polls = 0
        self.path = "adapter_model.safetensors"
        self.sha256 = hashlib.sha256(self.content).hexdigest()

    def ImportBaseModel(self, request: Any, context: grpc.ServicerContext) -> registry_pb2.BaseModel:
        self.imported = request
        return registry_pb2.BaseModel(name=f"baseModels/{request.base_model_id}")

    def GetBaseModel(self, request: Any, context: grpc.ServicerContext) -> registry_pb2.BaseModel:
        self.polls += 1
        ready = self.polls > 1
        state = registry_pb2.BASE_MODEL_STATE_READY if ready else registry_pb2.BASE_MODEL_STATE_IMPORTING
        return registry_pb2.BaseModel(name=request.name, state=state, total_bytes=9)

    def GetModelVersion(self, request: Any, context: grpc.ServicerContext) -> registry_pb2.ModelVersion:
        version = registry_pb2.ModelVersion(name="models/m/versions/1", base_model="baseModels/tiny-ja")
        entry = blob_pb2.FileEntry(path=self.path, size_bytes=len(self.content), sha256=self.sha256)
        version.files.append(entry)
        return version

    def ReadModelFile(
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[registry_pb2.ReadModelFileResponse]:
        fault = self.faults.reads.pop(0) if self.faults.reads else None
        for at in range(request.offset_bytes, len(self.content), 1000):
            if fault is not None and at - request.offset_bytes >= fault:
                cut(context)
            yield registry_pb2.ReadModelFileResponse(data=self.content[at : at + 1000])


class FakeInference(inference_pb2_grpc.InferenceServiceServicer):
    """Answers with the model's name and the prompt."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.request: Any = None

    def Generate(self, request: Any, context: grpc.ServicerContext) -> inference_pb2.GenerateResponse:
        if self.faults.generations:
            refuse(context, self.faults.generations.pop(0))
        self.request = request
        return inference_pb2.GenerateResponse(text=f"{request.model}: {request.prompt}", model=request.model)

    def GenerateStream(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        fault = self.faults.streams.pop(0) if self.faults.streams else None
        for number, piece in enumerate(["東京", "です", "。"]):
            if number == fault:
                cut(context)
            yield inference_pb2.GenerateStreamResponse(text=piece, model=request.model if number == 0 else "")
        yield inference_pb2.GenerateStreamResponse(
            finish_reason=inference_pb2.FINISH_REASON_STOP,
            usage=inference_pb2.Usage(completion_tokens=3, total_seconds=0.1),
        )


@dataclass
class System:
    """The four servers and a client of theirs."""

    faults: Faults
    data: FakeData
    training: FakeTraining
    registry: FakeRegistry
    inference: FakeInference
    addresses: dict[str, str]
    client: Client


@pytest.fixture
def system() -> Iterator[System]:
    faults = Faults()
    fakes = {
        "data": FakeData(faults),
        "training": FakeTraining(faults),
        "registry": FakeRegistry(faults),
        "inference": FakeInference(faults),
    }
    register = {
        "data": data_pb2_grpc.add_DataServiceServicer_to_server,
        "training": training_pb2_grpc.add_TrainingServiceServicer_to_server,
        "registry": registry_pb2_grpc.add_RegistryServiceServicer_to_server,
        "inference": inference_pb2_grpc.add_InferenceServiceServicer_to_server,
    }
    server = grpc.server(ThreadPoolExecutor(8))
    for name, fake in fakes.items():
        register[name](fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    addresses = dict.fromkeys(fakes, f"127.0.0.1:{port}")
    with Client(token="secret", addresses=addresses, patience_s=5.0) as client:
        yield System(faults=faults, addresses=addresses, client=client, **fakes)  # type: ignore[arg-type]
    server.stop(None).wait()


@pytest.fixture
def aift(system: Any, tmp_path: Path) -> Any:
    """Runs the command against the fake system."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIFT_")},
        **{f"AIFT_{name.upper()}_ADDRESS": address for name, address in system.addresses.items()},
        "AIFT_TOKEN": "t",
        "AIFT_LANG": "en",
        "COLUMNS": "200",
    }

    def run(*arguments: str, lang: str = "en", stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore:Protobuf", "-m", "aift.cli", *arguments],
            env={**environment, "AIFT_LANG": lang},
            cwd=tmp_path,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    run.environment = environment  # type: ignore[attr-defined]
    return run


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "質問: 一\\n回答: 二"}\n', encoding="utf-8")
    return path
