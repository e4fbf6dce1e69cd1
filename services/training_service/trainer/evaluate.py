"""Held-out loss, and what the model writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from services.text.template import Template, prompt_ids
from services.training_service.trainer.batches import evaluation_batches, flat, padded
from services.training_service.trainer.data import TokenRow
from services.training_service.trainer.loss import summed_loss
from services.training_service.trainer.ranks import Ranks

MAX_NEW_TOKENS = 64
Told = Callable[[float], None]


def measure(
    model: Any, rows: Sequence[TokenRow], *, tokens: int, packing: bool, ranks: Ranks, told: Told
) -> dict[str, float]:
    """eval_loss, eval_perplexity and eval_bits_per_character over the trained tokens of held-out rows; {} without rows.

    Bits per character counts the stop token's bits but not as a character; rows are shared among the ranks, in batches
    of at most `tokens` tokens.
    """
    if not rows:
        return {}
    groups = list(evaluation_batches(rows, tokens, packing))
    mine = groups[ranks.rank :: ranks.world]
    collate, nats = (flat if packing else padded), 0.0
    training = model.training
    model.eval()
    with torch.inference_mode():
        for done, group in enumerate(mine, 1):
            nats += float(summed_loss(model, on_device(collate(group), model.device)))
            told(done / len(mine))
    model.train(training)
    counted = [r for group in mine for r in group]
    total, trained, characters = ranks.sums(
        [nats, sum(r.trained_tokens for r in counted), sum(r.characters for r in counted)]
    )
    loss = total / trained
    return {
        "eval_loss": loss,
        "eval_perplexity": math.exp(loss) if loss < 700 else math.inf,
        "eval_bits_per_character": total / math.log(2) / max(1.0, characters),
    }


def on_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors moved."""
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def answer(model: Any, tokenizer: Any, template: Template, prompts: Sequence[str]) -> list[str]:
    """What the model answers to each prompt, greedily, at most 64 tokens. Draws nothing from the random state."""
    ids = [prompt_ids(template, prompt, "", tokenizer) for prompt in prompts]
    longest = max(len(row) for row in ids)
    stops = sorted({tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(list(template.stop))})
    filling = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else stops[0]
    training = model.training
    model.eval()
    with torch.inference_mode():
        written = model.generate(
            input_ids=torch.tensor([[filling] * (longest - len(row)) + row for row in ids], device=model.device),
            attention_mask=torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in ids], device=model.device),
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=stops,
            pad_token_id=filling,
        )
    model.train(training)
    return [str(text) for text in tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)]
