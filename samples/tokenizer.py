"""The tokenizer of tiny-ja: a byte-fallback BPE of 2,048 pieces, trained on generated text."""

import json
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from samples.corpus import passages

VOCABULARY = 2048
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
_SPECIAL = (PAD, END, UNKNOWN)
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
# A piece never crosses from one script to another; digits, spaces, 様 and legal forms stand alone: a
# value is then always the same pieces, whatever stands around it.
_ALONE = "様|株式会社|有限会社|合同会社"
_RUN = Regex(rf"[0-9]|[ 　]|\n|{_ALONE}|(?:(?!{_ALONE})[一-龥々〆])+|[ァ-ヺー]+|[ぁ-ゖ]+|[A-Za-z]+|.")
_MARKERS = "質問: 回答: 指示: 応答: 入力: 出力: ### システム"


def train(passages_read: int, seed: int) -> Tokenizer:
    """Train on `passages_read` passages; pieces for all 256 bytes make every text encodable."""
    rng = random.Random(seed)
    texts = [passages.passage(rng).text for _ in range(passages_read)]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(_RUN, "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(_SPECIAL) - len(_BYTES),
        initial_alphabet=[chr(code) for code in (*range(0x20, 0x7F), *range(0x3041, 0x3097), *range(0x30A1, 0x30FD))],
        show_progress=False,
    )
    learner.train_from_iterator([*texts, *[_MARKERS] * 50], trainer)
    learnt = json.loads(learner.to_str())["model"]
    return _with_bytes(learnt["vocab"], learnt["merges"])


def _with_bytes(pieces: dict[str, int], merges: list[list[str]]) -> Tokenizer:
    """Rebuild the learnt model with special pieces first, then bytes, then what was learnt."""
    ordered = (*_SPECIAL, *_BYTES, *sorted(pieces, key=pieces.__getitem__))
    whole = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(ordered)},
            merges=[(left, right) for left, right in merges],
            unk_token=UNKNOWN,
            byte_fallback=True,
            fuse_unk=False,
        )
    )
    whole.pre_tokenizer = pre_tokenizers.Split(_RUN, "isolated")
    whole.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    whole.add_special_tokens(list(_SPECIAL))
    return whole
