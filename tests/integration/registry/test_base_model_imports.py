"""Base models from uploaded files: taken in, looked at, refused where they are unsafe or incomplete."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from aift.common.v1 import blob_pb2
from aift.registry.v1 import registry_pb2 as pb
from google.protobuf.json_format import MessageToDict

from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import Registry, refused


async def test_a_folder_becomes_a_base_model(either_registry: Registry) -> None:
    files = tiny_model.llama()
    made = await either_registry.import_base("tiny", files, display_name="小さいモデル")
    assert made.state == pb.BASE_MODEL_STATE_READY
    assert made.display_name == "小さいモデル"
    assert made.digest == tiny_model.digest(files)
    assert {file.path: file.sha256 for file in made.files} == {p: tiny_model.sha256(d) for p, d in files.items()}
    assert made.done_bytes == made.total_bytes == sum(map(len, files.values()))
    assert made.licence == "apache-2.0"
    assert made.has_chat_template
    assert MessageToDict(made.recommended) == {"learning_rate": 0.002, "num_train_epochs": 3, "method": "lora"}
    assert made.shape == pb.ModelShape(
        architecture="LlamaForCausalLM",
        parameters=tiny_model.elements(tiny_model.llama_tensors()),
        hidden_size=8,
        intermediate_size=16,
        layers=2,
        attention_heads=2,
        key_value_heads=2,
        head_size=4,
        vocabulary_size=32,
        max_context_tokens=128,
        tied_embeddings=True,
        dtype="bfloat16",
    )


async def test_shards_with_an_index(registry: Registry) -> None:
    made = await registry.import_base("tiny", tiny_model.sharded(tiny_model.llama()))
    assert made.state == pb.BASE_MODEL_STATE_READY
    assert made.shape.parameters == tiny_model.elements(tiny_model.llama_tensors())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"config.json": json.dumps(tiny_model.llama_config(auto_map={"AutoModel": "x.Y"})).encode()},
            "MODEL_NEEDS_CODE",
        ),
        (
            {"config.json": json.dumps(tiny_model.llama_config(architectures=["T5Model"])).encode()},
            "UNSUPPORTED_ARCHITECTURE",
        ),
        ({"config.json": json.dumps(tiny_model.llama_config(hidden_size="8")).encode()}, "MODEL_FILE_INVALID"),
        ({"config.json": b"{"}, "MODEL_FILE_INVALID"),
        (
            {"config.json": json.dumps(tiny_model.llama_config(quantization_config={"quant_method": "gptq"})).encode()},
            "MODEL_ALREADY_QUANTIZED",
        ),
        ({"tokenizer_config.json": json.dumps({"auto_map": {"AutoTokenizer": "x.Y"}}).encode()}, "MODEL_NEEDS_CODE"),
        ({"tokenizer.json": None}, "TOKENIZER_MISSING"),
        ({"model.safetensors": b"\x80\x04pickle, really"}, "MODEL_FILE_INVALID"),
        ({"model.safetensors": tiny_model.safetensors(tiny_model.llama_tensors())[:-1]}, "MODEL_FILE_INVALID"),
        (
            {"model.safetensors": tiny_model.safetensors(tiny_model.llama_tensors(), dtype="U8")},
            "MODEL_ALREADY_QUANTIZED",
        ),
        ({"aift.json": b'{"recommended": {"lora_r": [1]}}'}, "MODEL_FILE_INVALID"),
    ],
)
async def test_what_cannot_be_used_fails_with_a_reason(
    registry: Registry, changed: dict[str, bytes | None], reason: str
) -> None:
    files = {path: data for path, data in {**tiny_model.llama(), **changed}.items() if data is not None}
    made = await registry.import_base("bad", files)
    assert made.state == pb.BASE_MODEL_STATE_FAILED
    assert made.failure.reason == reason
    assert made.failure.message.en
    assert made.failure.message.ja
    assert made.digest == ""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("pytorch_model.bin", "UNSAFE_MODEL_FILE"),
        ("../evil.json", "INVALID_PATH"),
        ("/etc/passwd.json", "INVALID_PATH"),
        ("a\0b.json", "NUL_CHARACTER"),
        ("modeling.py", "UNKNOWN_MODEL_FILE"),
        ("config.json", "DUPLICATE_PATH"),
    ],
)
async def test_files_that_may_not_belong_to_a_model(registry: Registry, path: str, reason: str) -> None:
    listed = await registry.uploaded(tiny_model.llama())
    listed.append(blob_pb2.UploadedFile(path=path, upload=listed[0].upload))
    request = pb.ImportBaseModelRequest(base_model_id="tiny", uploads=pb.UploadedFiles(files=listed))
    async with refused("INVALID_ARGUMENT") as errors:
        await registry.editor.ImportBaseModel(request)
    assert reason in str(errors[0].trailing_metadata())
    listed_now = await registry.editor.ListBaseModels(pb.ListBaseModelsRequest())
    assert not listed_now.base_models


async def test_an_unknown_upload_is_the_clients_error(registry: Registry) -> None:
    files = [
        blob_pb2.UploadedFile(path="config.json", upload="uploads/none"),
        blob_pb2.UploadedFile(path="model.safetensors", upload="uploads/none"),
    ]
    request = pb.ImportBaseModelRequest(base_model_id="tiny", uploads=pb.UploadedFiles(files=files))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await registry.editor.ImportBaseModel(request)
    assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL)


async def test_bytes_that_are_not_what_the_digest_says(registry: Registry) -> None:
    listed = await registry.uploaded(tiny_model.llama())
    registry.process.uploads.blobs[listed[1].upload].sha256 = "0" * 64
    request = pb.ImportBaseModelRequest(base_model_id="tiny", uploads=pb.UploadedFiles(files=listed))
    made = await registry.imported((await registry.editor.ImportBaseModel(request)).name)
    assert made.failure.reason == "DIGEST_MISMATCH"


async def test_an_id_is_taken_once_and_a_failure_makes_room(registry: Registry) -> None:
    failed = await registry.import_base("tiny", {**tiny_model.llama(), "config.json": b"{}"})
    assert failed.state == pb.BASE_MODEL_STATE_FAILED
    made = await registry.ready("tiny")
    assert made.uid != failed.uid
    async with refused("ALREADY_EXISTS"):
        await registry.import_base("tiny", tiny_model.llama())
    assert (await registry.imported("baseModels/tiny")).uid == made.uid


async def test_the_same_request_gives_the_same_model(registry: Registry) -> None:
    source = pb.UploadedFiles(files=await registry.uploaded(tiny_model.llama()))
    request = pb.ImportBaseModelRequest(base_model_id="tiny", uploads=source, request_id="once")
    first, second = await asyncio.gather(*(registry.editor.ImportBaseModel(request) for _ in range(2)))
    assert first.uid == second.uid
    request.display_name = "another"
    async with refused("REQUEST_ID_REUSED"):
        await registry.editor.ImportBaseModel(request)


async def test_names_that_are_none(registry: Registry) -> None:
    for name in ("baseModels/", "baseModels/../x", "baseModels/a\0b", "baseModels/a/b/c", "tiny"):
        async with refused("INVALID_ARGUMENT"):
            await registry.editor.GetBaseModel(pb.GetBaseModelRequest(name=name))
    for name in ("baseModels/unknown", "baseModels/owner/unknown"):
        async with refused("NOT_FOUND"):
            await registry.editor.GetBaseModel(pb.GetBaseModelRequest(name=name))
    async with refused("INVALID_ARGUMENT"):
        await registry.import_base("Not An Id", tiny_model.llama())
    async with refused("INVALID_ARGUMENT"):
        await registry.editor.ImportBaseModel(pb.ImportBaseModelRequest(base_model_id="nothing"))


async def test_pages_are_newest_first_and_of_the_own_tenant(registry: Registry) -> None:
    for id_ in ("one", "two", "three"):
        await registry.ready(id_)
    first = await registry.editor.ListBaseModels(pb.ListBaseModelsRequest(page_size=2))
    assert [model.name for model in first.base_models] == ["baseModels/three", "baseModels/two"]
    rest = pb.ListBaseModelsRequest(page_size=2, page_token=first.next_page_token)
    second = await registry.editor.ListBaseModels(rest)
    assert [model.name for model in second.base_models] == ["baseModels/one"]
    assert second.next_page_token == ""
    others = await registry.as_("editor", tenant="other").ListBaseModels(pb.ListBaseModelsRequest())
    assert not others.base_models


async def test_only_an_admin_deletes_and_only_what_nobody_stands_on(registry: Registry) -> None:
    base = await registry.ready()
    version = await registry.trained(base)
    delete = pb.DeleteBaseModelRequest(name=base.name)
    async with refused("PERMISSION_DENIED"):
        await registry.editor.DeleteBaseModel(delete)
    async with refused("BASE_MODEL_IN_USE") as errors:
        await registry.as_("admin").DeleteBaseModel(delete)
    assert version.name in str(errors[0].details())
    await registry.editor.DeleteModelVersion(pb.DeleteModelVersionRequest(name=version.name))
    await registry.as_("admin").DeleteBaseModel(delete)
    async with refused("NOT_FOUND"):
        await registry.editor.GetBaseModel(pb.GetBaseModelRequest(name=base.name))
    again = await registry.ready()
    assert again.digest == base.digest
    assert again.uid != base.uid


async def test_a_viewer_looks_and_changes_nothing(registry: Registry) -> None:
    base = await registry.ready()
    viewer = registry.as_("viewer")
    assert (await viewer.GetBaseModel(pb.GetBaseModelRequest(name=base.name))).uid == base.uid
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await viewer.ImportBaseModel(pb.ImportBaseModelRequest(base_model_id="x"))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
