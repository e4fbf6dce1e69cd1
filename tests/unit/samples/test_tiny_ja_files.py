"""The shipped model's files: small, safe, and readable by the libraries that will read them."""

import json
import struct

import pytest
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from samples.make_tiny_ja import MODEL

_LIMIT_BYTES = 8_000_000


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(MODEL)


def _tensors() -> dict[str, dict[str, object]]:
    with (MODEL / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, object]] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header


def test_only_safetensors_json_and_text_are_shipped() -> None:
    names = {path.name for path in MODEL.iterdir()}
    assert names == {
        "README.md",
        "aift.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_weights_are_small_bfloat16_matrices_of_multiples_of_32() -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= _LIMIT_BYTES
    tensors = _tensors()
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    shapes = [tensor["shape"] for tensor in tensors.values()]
    assert all(isinstance(shape, list) and all(size % 32 == 0 for size in shape) for shape in shapes)


def test_facts_agree_with_the_weights_and_name_hyperparameters() -> None:
    facts = json.loads((MODEL / "aift.json").read_text(encoding="utf-8"))
    counted = 0
    for tensor in _tensors().values():
        size = 1
        for side in tensor["shape"]:  # type: ignore[attr-defined]
            size *= side
        counted += size
    assert facts["parameters"] == counted
    assert facts["licence"]
    recommended = facts["recommended"]
    assert recommended["lora_r"] == 16
    assert recommended["per_device_train_batch_size"] == 4
    assert 0 < recommended["learning_rate"] < 0.1
    assert recommended["num_train_epochs"] >= 1


def test_config_is_a_plain_llama_with_an_end_mark(tokenizer: PreTrainedTokenizerFast) -> None:
    config = AutoConfig.from_pretrained(MODEL)
    assert config.model_type == "llama"
    assert not hasattr(config, "auto_map")
    assert config.vocab_size == len(tokenizer) == 2048
    assert config.eos_token_id == tokenizer.eos_token_id
    assert config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize(
    "text",
    [
        "質問: 納期はいつですか？\n回答: 【納期】7月3日（金）を予定しております。",
        "①髙﨑㈱㍿【】〆々ーｱｲｳ１２３",
        "絵文字😀と👨‍👩‍👧、한국어、العربية、\t\\n",
        "  二つの空白　全角空白  ",
        "e\u0301 と é、が と か\u3099",
        "",
    ],
)
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_brackets_have_pieces_of_their_own(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("【】") == ["【", "】"]


def test_nothing_is_added_and_a_prompt_stays_a_prefix_of_its_row(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, answer = "質問: 納期はいつですか？\n回答: ", "7月3日でございます。"
    assert tokenizer(prompt + answer)["input_ids"] == tokenizer(prompt)["input_ids"] + tokenizer(answer)["input_ids"]
    assert set(tokenizer("あ")) == {"input_ids", "attention_mask"}


def test_the_chat_template_marks_exactly_what_the_assistant_says(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [
        {"role": "system", "content": "係です。"},
        {"role": "user", "content": "納期は？"},
        {"role": "assistant", "content": "5月1日です。"},
        {"role": "user", "content": "場所は？"},
        {"role": "assistant", "content": "応接室です。"},
    ]
    made = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    marked = [token for token, said in zip(made["input_ids"], made["assistant_masks"], strict=True) if said]
    assert tokenizer.decode(marked) == "5月1日です。</s>応接室です。</s>"
    assert tokenizer.decode(made["input_ids"]) == (
        "係です。\n### 指示:\n納期は？\n### 応答:\n5月1日です。</s>\n### 指示:\n場所は？\n### 応答:\n応接室です。</s>"
    )


def test_the_generation_prompt_continues_into_what_was_trained(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "納期は？"}, {"role": "assistant", "content": "5月1日です。"}]
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    prompt = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert whole == prompt + "5月1日です。</s>"
