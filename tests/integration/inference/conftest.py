"""A small random Llama with two adapters, a registry that serves them, and the inference service itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from aift.common.v1 import blob_pb2
from aift.inference.v1 import inference_pb2_grpc
from aift.registry.v1 import registry_pb2, registry_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.core import migrate
from services.inference_service.app import PACKAGE, serve
from services.inference_service.settings import InferenceSettings
from tests.conftest import find_free_port

SENTENCES = (
    "質問: 日本の首都はどこですか？\n回答: 東京です。",
    "Business Japanese 0123456789",
    "お問い合わせの部署は総務部です。",
)


@dataclass(frozen=True)
class ModelFolders:
    """Where the files of the test models lie."""

    base: Path
    adapters: tuple[Path, Path]


@pytest.fixture(scope="session")
def folders() -> Iterator[ModelFolders]:
    with tempfile.TemporaryDirectory(prefix="aift-models-") as name:
        yield _make_models(Path(name))


def _make_models(root: Path) -> ModelFolders:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(root / "base")
    tokenizer.save_pretrained(root / "base")
    adapters = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        targets = ["q_proj", "v_proj", "down_proj"]
        lora = LoraConfig(r=4, lora_alpha=64, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(LlamaForCausalLM.from_pretrained(root / "base"), lora).save_pretrained(root / f"adapter{seed}")
        adapters.append(root / f"adapter{seed}")
    return ModelFolders(root / "base", (adapters[0], adapters[1]))


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    special = ["<s>", "</s>", "<unk>", *(f"<0x{value:02X}>" for value in range(256))]
    backend.train_from_iterator(
        SENTENCES * 3, trainers.BpeTrainer(vocab_size=480, special_tokens=special, show_progress=False)
    )
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@dataclass
class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """Knows the base model, versions 1 and 2 of models/demo, and where its alias points."""

    folders: ModelFolders
    production: int = 1
    templates: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        return self.folders.base if name.startswith("baseModels/") else self.folders.adapters[int(name[-1]) - 1]

    def files(self, name: str) -> list[blob_pb2.FileUrl]:
        return [
            blob_pb2.FileUrl(
                path=path.name,
                size_bytes=path.stat().st_size,
                sha256=self.digests.get(path.name) or hashlib.sha256(path.read_bytes()).hexdigest(),
                url=path.as_uri(),
            )
            for path in sorted(self.folder(name).iterdir())
        ]

    def digest(self, name: str) -> str:
        listed = [(file.path, file.sha256) for file in self.files(name)]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    async def GetBaseModel(self, request: Any, context: Any) -> registry_pb2.BaseModel:
        if request.name != "baseModels/tiny":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such base model")
        return registry_pb2.BaseModel(
            name=request.name, state=registry_pb2.BASE_MODEL_STATE_READY, digest=self.digest(request.name)
        )

    async def GetModelVersion(self, request: Any, context: Any) -> registry_pb2.ModelVersion:
        if not request.name.startswith("models/demo"):
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        aliased = request.name == "models/demo@production"
        name = f"models/demo/versions/{self.production}" if aliased else request.name
        return registry_pb2.ModelVersion(
            name=name,
            kind=registry_pb2.MODEL_KIND_ADAPTER,
            base_model="baseModels/tiny",
            base_model_digest=self.digest("baseModels/tiny"),
            digest=self.digest(name),
            template_json=self.templates.get(name, ""),
        )

    async def GetModelFiles(self, request: Any, _: Any) -> registry_pb2.GetModelFilesResponse:
        return registry_pb2.GetModelFilesResponse(
            name=request.name, digest=self.digest(request.name), files=self.files(request.name)
        )


@dataclass
class Running:
    """The service under test."""

    channel: grpc.aio.Channel
    stub: Any
    registry: Registry
    settings: InferenceSettings
    metadata: list[tuple[str, str]]


Start = Callable[..., Any]


@pytest.fixture
async def start(
    folders: ModelFolders, database_url: str, auth_dir: Path, tmp_path: Path, make_token: Callable[..., str]
) -> AsyncIterator[Start]:
    """``await start(**settings)`` runs registry and inference service; the same state again after a stop."""
    ends: list[Callable[[], Any]] = []
    registry = Registry(folders)
    server = grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    registry_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA inference")
    await asyncio.to_thread(migrate.run, PACKAGE, url=database_url, schema="inference")

    async def run(**changes: Any) -> Running:
        settings = InferenceSettings(
            state_dir=tmp_path,
            listen=f"127.0.0.1:{find_free_port()}",
            database_url=database_url,
            auth_dir=auth_dir,
            registry_address=f"127.0.0.1:{registry_port}",
            engine_threads=1,
            drain_seconds=1,
            **changes,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(serve(settings, stop))
        channel = grpc.aio.insecure_channel(settings.listen)

        async def end() -> None:
            await channel.close()
            stop.set()
            await task

        ends.append(end)
        await _serving(channel, task)
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        return Running(channel, stub, registry, settings, [("authorization", f"Bearer {make_token()}")])

    async def stop_all() -> None:
        while ends:
            await ends.pop()()

    run.stop = stop_all  # type: ignore[attr-defined]
    yield run
    await stop_all()
    await server.stop(None)


async def _serving(channel: grpc.aio.Channel, task: asyncio.Task[None]) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for _ in range(200):
        if task.done():
            task.result()
        with suppress(grpc.aio.AioRpcError):
            answer = await health.Check(health_pb2.HealthCheckRequest())
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
        await asyncio.sleep(0.05)
    raise TimeoutError("the service does not become ready")
