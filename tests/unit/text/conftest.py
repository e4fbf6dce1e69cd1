"""A byte-fallback BPE tokenizer trained on a few sentences, as Japanese models have them."""

from __future__ import annotations

from typing import Any

import pytest

SPECIAL = (
    *("<s>", "</s>", "<unk>", "<pad>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>", "[INST]"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>"),
    *("<｜User｜>", "<｜Assistant｜>"),
)
SENTENCES = (
    "質問: 日本の首都はどこですか？\n回答: 日本の首都は東京です。",
    "質問: 山の高さは何メートルですか？\n回答: 山の高さは3,776メートルです。",
    "### 指示:\n英語に訳してください。\n\n### 応答:\nTranslate.",
    "user\nassistant\nsystem\nUSER: ASSISTANT: Q: 入力: 出力:",
    "A:Translate.",
)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Puts <s> in front of a text, ends answers with </s>, has no chat template."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("[ \n]"), "isolated")
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[*SPECIAL, *byte_tokens], show_progress=False, min_frequency=2
    )
    backend.train_from_iterator(SENTENCES * 3, trainer)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
    wrapped.add_special_tokens({"additional_special_tokens": [AddedToken(t, special=True) for t in SPECIAL[4:]]})
    return wrapped
