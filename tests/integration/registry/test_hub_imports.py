"""Base models from the Hub, through its own library, from a small Hub on loopback; and without any network."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import psutil
import pytest
from aift.registry.v1 import registry_pb2 as pb

from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import Registry, RegistryProcess, refused, tenant_of
from tests.integration.registry.hub_server import COMMIT, HubServer, Repository

OWNER = "stabilityai/japanese-stablelm-3b-4e1t-instruct"
PROXIES = {name: "" for name in os.environ if name.lower().endswith("_proxy")}


@pytest.fixture
async def hub() -> AsyncIterator[HubServer]:
    """The Hub."""
    async with HubServer() as server:
        yield server


@pytest.fixture
def start(make_process: Callable[..., RegistryProcess]) -> Iterator[Callable[..., RegistryProcess]]:
    """`start(endpoint, **environment)`: a registry of this test's own."""
    begun: list[RegistryProcess] = []

    def begin(endpoint: str, **environment: str) -> RegistryProcess:
        process = make_process(AIFT_HUB_ENDPOINT=endpoint, **{**PROXIES, **environment})
        process.start()
        begun.append(process)
        return process

    yield begin
    for process in begun:
        if process.process is not None and process.process.poll() is None:
            process.stop()


@pytest.fixture
async def registry_of_hub(hub: HubServer, start: Callable[..., RegistryProcess]) -> AsyncIterator[Registry]:
    """A tenant of a registry that knows the Hub on loopback."""
    process = await asyncio.to_thread(start, hub.url, AIFT_HUB_TOKEN="hf_secret")
    async with tenant_of(process) as one:
        yield one
    await asyncio.to_thread(process.stop)


async def test_a_model_comes_with_its_commit_pinned(hub: HubServer, registry_of_hub: Registry) -> None:
    files = tiny_model.llama()
    extra = {
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"print()",
        "onnx/model.safetensors": b"x",
        ".gitattributes": b"",
        "consolidated.safetensors": files["model.safetensors"],
    }
    hub.repositories[OWNER] = Repository(files={**files, **extra}, gated_for="hf_secret")
    made = await registry_of_hub.import_hub("japanese-stablelm-3b", revision="v1")
    assert made.state == pb.BASE_MODEL_STATE_READY, made.failure
    assert made.name == "baseModels/japanese-stablelm-3b"
    assert made.hub_id == OWNER
    assert made.hub_revision == COMMIT
    assert made.digest == tiny_model.digest(files)
    assert made.done_bytes == made.total_bytes == sum(map(len, files.values()))
    for name in ("japanese-stablelm-3b", OWNER, OWNER.upper()):
        seen = await registry_of_hub.editor.GetBaseModel(pb.GetBaseModelRequest(name=f"baseModels/{name}"))
        assert seen.uid == made.uid
    assert "Bearer hf_secret" in hub.tokens
    assert "hf_secret" not in registry_of_hub.process.log.read_text()
    assert list((registry_of_hub.process.folder / "imports").iterdir()) == []


async def test_what_is_here_already_is_not_fetched_again(hub: HubServer, registry_of_hub: Registry) -> None:
    files = tiny_model.sharded(tiny_model.llama(fill=3))
    hub.repositories["a/one"] = hub.repositories["b/two"] = Repository(files=files)
    first = await registry_of_hub.import_hub("a/one")
    hub.asked.clear()
    second = await registry_of_hub.import_hub("b/two")
    assert first.digest == second.digest
    assert not [path for path in hub.asked if path.endswith(".safetensors")]


async def test_a_broken_connection_is_gone_on_from(hub: HubServer, registry_of_hub: Registry) -> None:
    files = tiny_model.llama(fill=5)
    hub.repositories["a/one"] = Repository(files=files, broken={"model.safetensors": 1})
    made = await registry_of_hub.import_hub("a/one")
    assert made.state == pb.BASE_MODEL_STATE_READY, made.failure
    assert made.digest == tiny_model.digest(files)


@pytest.mark.parametrize(
    ("hub_id", "revision", "reason", "remedy"),
    [
        ("no/such", "", "HUB_MODEL_NOT_FOUND", "AIFT_HUB_TOKEN"),
        ("a/open", "v9", "HUB_REVISION_NOT_FOUND", "v9"),
        ("a/gated", "", "HUB_MODEL_GATED", "https://huggingface.co/a/gated"),
        ("a/pickled", "", "UNSAFE_MODEL_FILE", "safetensors"),
        ("a/empty", "", "MODEL_WEIGHTS_MISSING", "safetensors"),
        ("a/unconfigured", "", "MODEL_CONFIG_MISSING", "config.json"),
        ("a/unknown", "", "UNSUPPORTED_ARCHITECTURE", "LlamaForCausalLM"),
    ],
)
async def test_refusals_say_what_to_do(
    hub: HubServer, registry_of_hub: Registry, hub_id: str, revision: str, reason: str, remedy: str
) -> None:
    whole = tiny_model.llama()
    without_weights = {path: data for path, data in whole.items() if not path.endswith(".safetensors")}
    hub.repositories = {
        "a/open": Repository(files=whole),
        "a/gated": Repository(files=whole, gated_for="hf_of_someone_else"),
        "a/pickled": Repository(files={**without_weights, "pytorch_model.bin": b"pickle"}),
        "a/empty": Repository(files=without_weights),
        "a/unconfigured": Repository(files={"model.safetensors": whole["model.safetensors"]}),
        "a/unknown": Repository(files=tiny_model.llama(architectures=["BertModel"])),
    }
    made = await registry_of_hub.import_hub(hub_id, revision=revision)
    assert made.state == pb.BASE_MODEL_STATE_FAILED
    assert made.failure.reason == reason
    assert remedy in made.failure.message.en
    assert remedy in made.failure.message.ja
    assert "model.safetensors" not in hub.asked  # nothing large was fetched for nothing


async def test_ids_that_are_none(registry_of_hub: Registry) -> None:
    for hub_id in ("", "../x", "a/b/c", "a--b/c", "a/b\0"):
        async with refused("INVALID_ARGUMENT"):
            await registry_of_hub.import_hub(hub_id)
    async with refused("INVALID_ARGUMENT"):
        await registry_of_hub.import_hub("a/b", revision="../main")


async def test_a_full_disk_is_told_before_anything_is_fetched(
    hub: HubServer, start: Callable[..., RegistryProcess]
) -> None:
    hub.repositories["a/one"] = Repository(files=tiny_model.llama())
    process = await asyncio.to_thread(start, hub.url, AIFT_IMPORT_RESERVE_BYTES=str(1 << 50))
    async with tenant_of(process) as registry:
        made = await registry.import_hub("a/one")
    assert made.failure.reason == "INSUFFICIENT_DISK"
    assert "1024 TiB" in made.failure.message.en
    assert hub.asked == []


async def test_without_a_network(start: Callable[..., RegistryProcess]) -> None:
    process = await asyncio.to_thread(start, "http://127.0.0.1:9")
    async with tenant_of(process) as registry:
        made = await registry.import_hub("distilgpt2")
        assert made.name == "baseModels/distilgpt2"
        assert made.hub_id == "distilbert/distilgpt2"
        assert made.failure.reason == "HUB_UNREACHABLE"
        assert "import its folder" in made.failure.message.en
        again = await registry.import_hub("distilgpt2", base_model_id="distilgpt2")
        assert again.uid != made.uid


async def test_offline_mode(start: Callable[..., RegistryProcess]) -> None:
    process = await asyncio.to_thread(start, "", HF_HUB_OFFLINE="1")
    async with tenant_of(process) as registry:
        made = await registry.import_hub("elyza-japanese-llama-7b")
    assert made.hub_id == "elyza/ELYZA-japanese-Llama-2-7b-instruct"
    assert made.failure.reason == "HUB_UNREACHABLE"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_an_import_survives_the_end_of_the_service(
    hub: HubServer, start: Callable[..., RegistryProcess], number: int
) -> None:
    files, held = tiny_model.llama(fill=7), asyncio.Event()
    hub.repositories["a/one"] = Repository(files=files, held=held)
    process = await asyncio.to_thread(start, hub.url)
    async with tenant_of(process) as registry:
        source = pb.HubSource(hub_id="a/one")
        begun = await registry.editor.ImportBaseModel(pb.ImportBaseModelRequest(hub=source))
        async with asyncio.timeout(60):
            await hub.sending.wait()
        assert process.process is not None
        children = psutil.Process(process.process.pid).children(recursive=True)
        assert children
        await asyncio.to_thread(process.stop, number)
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 15)
        assert not alive, "the importer outlived its service"
    held.set()
    await asyncio.to_thread(process.start)
    async with tenant_of(process) as registry:
        registry.tenant = process.sql("SELECT tenant FROM base_models")[0][0]
        made = await registry.imported(begun.name)
        assert made.state == pb.BASE_MODEL_STATE_READY, made.failure
        assert made.uid == begun.uid
        assert made.digest == tiny_model.digest(files)
    assert process.sql("SELECT attempt FROM base_models") == [(2,)]


async def test_deleting_a_running_import_ends_it(hub: HubServer, registry_of_hub: Registry) -> None:
    hub.repositories["a/one"] = Repository(files=tiny_model.llama(fill=8), held=asyncio.Event())
    hub.repositories["a/two"] = Repository(files=tiny_model.llama(fill=9))
    begun = await registry_of_hub.editor.ImportBaseModel(pb.ImportBaseModelRequest(hub=pb.HubSource(hub_id="a/one")))
    async with asyncio.timeout(60):
        await hub.sending.wait()
    assert registry_of_hub.process.process is not None
    children = psutil.Process(registry_of_hub.process.process.pid).children(recursive=True)
    assert children
    await registry_of_hub.as_("admin").DeleteBaseModel(pb.DeleteBaseModelRequest(name=begun.name))
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 30)
    assert not alive, "the importer goes on with a deleted model"
    made = await registry_of_hub.import_hub("a/two", base_model_id="one")
    assert made.state == pb.BASE_MODEL_STATE_READY
