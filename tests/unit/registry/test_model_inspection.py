"""What the files of a model say: shapes of all architectures, licences, templates, adapters and their bases."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.registry_service.adapter import check_adapter
from services.registry_service.domain import BaseModel, BaseModelState
from services.registry_service.errors import (
    AdapterBaseMismatch,
    ModelFileInvalid,
    UnsafeModelFile,
    UnsupportedArchitecture,
)
from services.registry_service.inspection import inspect
from services.registry_service.licence import licence_in
from services.registry_service.model_config import shape_of
from tests.integration.registry import tiny_model
from tests.unit.registry.conftest import MakeFolder

GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "n_embd": 768,
    "n_layer": 6,
    "n_head": 12,
    "n_positions": 1024,
    "n_inner": None,
    "vocab_size": 50257,
}


def usual(architecture: str, **changed: Any) -> dict[str, Any]:
    return {**tiny_model.llama_config(architectures=[architecture]), **changed}


def test_gpt2_has_names_of_its_own() -> None:
    shape = shape_of(GPT2, parameters=81_912_576, dtype="float32")
    assert (shape.hidden_size, shape.intermediate_size, shape.layers) == (768, 3072, 6)
    assert (shape.attention_heads, shape.key_value_heads, shape.max_context_tokens) == (12, 12, 1024)
    assert shape.tied_embeddings


@pytest.mark.parametrize(
    ("architecture", "head_size", "tied"),
    [
        ("GPTNeoXForCausalLM", 4, False),
        ("StableLmForCausalLM", 4, False),
        ("LlamaForCausalLM", 4, False),
        ("MistralForCausalLM", 4, False),
        ("Qwen2ForCausalLM", 4, False),
        ("Qwen3ForCausalLM", 128, False),
        ("GemmaForCausalLM", 256, True),
        ("Gemma2ForCausalLM", 256, True),
        ("Gemma3ForCausalLM", 256, True),
    ],
)
def test_every_architecture_and_what_it_leaves_out(architecture: str, head_size: int, tied: bool) -> None:
    config = usual(architecture)
    del config["tie_word_embeddings"], config["num_key_value_heads"]
    shape = shape_of(config, parameters=1, dtype="bfloat16")
    assert (shape.head_size, shape.tied_embeddings, shape.key_value_heads) == (head_size, tied, 2)
    said = shape_of(usual(architecture, head_dim=64, num_key_value_heads=1), parameters=1, dtype="bfloat16")
    assert (said.head_size, said.tied_embeddings, said.key_value_heads) == (64, True, 1)


@pytest.mark.parametrize("named", [["T5ForConditionalGeneration"], [], None, "LlamaForCausalLM"])
def test_other_architectures_are_refused_by_name(named: Any) -> None:
    with pytest.raises(UnsupportedArchitecture) as caught:
        shape_of(usual("x", architectures=named), parameters=1, dtype="float32")
    assert "LlamaForCausalLM" in caught.value.text("ja")


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "8", True, None, 1 << 50])
def test_numbers_that_are_none(wrong: Any) -> None:
    with pytest.raises(ModelFileInvalid, match="num_hidden_layers"):
        shape_of(usual("LlamaForCausalLM", num_hidden_layers=wrong), parameters=1, dtype="float32")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# x", "apache-2.0"),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", "mit, apache-2.0"),
        ("---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        ("---\r\nlicense: llama3\r\n---\r\n", "llama3"),
        ("# no front matter\nlicense: mit", ""),
        ("---\nlicense: mit\n", ""),
        ("---\n{broken: [\n---\n", ""),
        ("---\n- a list\n---\n", ""),
        ("---\nlicense: !!python/object/apply:os.system [id]\n---\n", ""),
        ("", ""),
    ],
)
def test_licences_of_cards(card: str, licence: str) -> None:
    assert licence_in(card) == licence


async def test_masks_of_old_files_are_no_parameters(make_folder: MakeFolder) -> None:
    tensors = {**tiny_model.llama_tensors(), "transformer.h.0.attn.bias": [1, 1, 64, 64]}
    files = {**tiny_model.llama(), "model.safetensors": tiny_model.safetensors(tensors)}
    found = await inspect(await make_folder(files))
    assert found.shape.parameters == tiny_model.elements(tiny_model.llama_tensors())


@pytest.mark.parametrize(
    ("changed", "has"),
    [
        ({"tokenizer_config.json": b"{}"}, False),
        ({"tokenizer_config.json": b'{"chat_template": [{"name": "default", "template": "x"}]}'}, True),
        ({"tokenizer_config.json": b"{}", "chat_template.jinja": b"{{ x }}"}, True),
        ({"tokenizer_config.json": None, "tokenizer.json": None, "vocab.json": b"{}", "merges.txt": b""}, False),
    ],
)
async def test_templates_and_tokenizers(make_folder: MakeFolder, changed: dict[str, bytes | None], has: bool) -> None:
    files = {path: data for path, data in {**tiny_model.llama(), **changed}.items() if data is not None}
    assert (await inspect(await make_folder(files))).has_chat_template is has


@pytest.mark.parametrize(
    "weight_map",
    [
        {},
        {"model.norm.weight": "../../etc/passwd"},
        {"model.norm.weight": "model-00003-of-00002.safetensors"},
        [],
        None,
    ],
)
async def test_an_index_that_differs(make_folder: MakeFolder, weight_map: Any) -> None:
    files = tiny_model.sharded(tiny_model.llama())
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    with pytest.raises(ModelFileInvalid, match="index"):
        await inspect(await make_folder(files))


async def test_a_shard_or_the_index_is_missing(make_folder: MakeFolder) -> None:
    for path in ("model.safetensors.index.json", "model-00002-of-00002.safetensors"):
        files = tiny_model.sharded(tiny_model.llama())
        del files[path]
        with pytest.raises(ModelFileInvalid):
            await inspect(await make_folder(files))


async def test_pickles_are_refused_wherever_they_are(make_folder: MakeFolder) -> None:
    with pytest.raises(UnsafeModelFile):
        await inspect(await make_folder({**tiny_model.llama(), "training_args.bin": b""}))


def base_model(hub_id: str = "") -> BaseModel:
    now = datetime.now(UTC)
    return BaseModel(
        tenant="t",
        id="tiny",
        uid="u",
        etag="e",
        display_name="tiny",
        hub_id=hub_id,
        hub_revision="",
        state=BaseModelState.READY,
        done_bytes=0,
        total_bytes=0,
        failure=None,
        shape=None,
        licence="",
        has_chat_template=False,
        recommended={},
        digest="d",
        files=(),
        create_time=now,
        update_time=now,
    )


@pytest.mark.parametrize(
    ("written", "hub_id", "fits"),
    [
        ("/cache/models/abc", "owner/one", True),
        ("baseModels/one", "owner/one", True),
        ("owner/one", "Owner/One", True),
        ("owner/one", "", True),
        ("owner/two", "owner/one", False),
        ("elyza-japanese-llama-7b", "elyza/ELYZA-japanese-Llama-2-7b-instruct", True),
        ("japanese-stablelm-3b", "elyza/ELYZA-japanese-Llama-2-7b-instruct", False),
    ],
)
async def test_the_base_that_an_adapter_names(make_folder: MakeFolder, written: str, hub_id: str, fits: bool) -> None:
    both = await make_folder({**tiny_model.adapter(base=written), **tiny_model.llama()})
    if fits:
        await check_adapter(both, base_model(hub_id), both)
    else:
        with pytest.raises(AdapterBaseMismatch, match="base_model_name_or_path"):
            await check_adapter(both, base_model(hub_id), both)


async def test_conv1d_of_gpt2_is_transposed(make_folder: MakeFolder) -> None:
    name = "h.0.attn.c_attn"
    lora = {
        f"base_model.model.transformer.{name}.lora_A.default.weight": [4, 8],
        f"base_model.model.transformer.{name}.lora_B.default.weight": [24, 4],
        "base_model.model.lm_head.lora_A.weight": [4, 8],
    }
    files = {
        **tiny_model.adapter(),
        "adapter_model.safetensors": tiny_model.safetensors(lora, dtype="F32"),
        "model.safetensors": tiny_model.safetensors({f"{name}.weight": [8, 24]}, dtype="F32"),
    }
    folder = await make_folder(files)
    await check_adapter(folder, base_model(), folder)
