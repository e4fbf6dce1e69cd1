"""What the model writes while it is trained: prompts that leave room in its context, and the answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from services.text.problems import Problem
from services.text.template import Template, prompt_ids
from services.training_service.trainer.failures import ConfigurationError

log = logging.getLogger(__name__)

MAX_NEW_TOKENS = 64
_FROM_ROWS = 3


@dataclass(frozen=True)
class Prompt:
    """A prompt that fits."""

    text: str
    ids: list[int]


@dataclass(frozen=True)
class Sampler:
    """Answers the same prompts again and again."""

    tokenizer: Any
    template: Template
    context: int
    """Tokens that the model can see at once."""
    prompts: Sequence[Prompt]

    @classmethod
    def of_job(cls, tokenizer: Any, template: Template, context: int, texts: Sequence[str]) -> Sampler:
        """Answers the job's own prompts. Raises ConfigurationError for those that leave no room for an answer."""
        prompts = list(_encoded(tokenizer, template, texts))
        problems = [
            _too_long(number, len(prompt.ids), context)
            for number, prompt in enumerate(prompts, 1)
            if len(prompt.ids) >= context
        ]
        if problems:
            raise ConfigurationError(*problems)
        return cls(tokenizer, template, context, prompts)

    @classmethod
    def of_rows(cls, tokenizer: Any, template: Template, context: int, texts: Iterable[str]) -> Sampler:
        """Answers the first three prompts of rows that leave room for a whole sample, or for half of a small context."""
        longest = context - min(MAX_NEW_TOKENS, context // 2)
        passed_over = 0

        def fitting() -> Iterator[Prompt]:
            nonlocal passed_over
            for prompt in _encoded(tokenizer, template, texts):
                if len(prompt.ids) <= longest:
                    yield prompt
                else:
                    passed_over += 1

        prompts = list(islice(fitting(), _FROM_ROWS))
        if passed_over:
            log.warning(
                "samples: %d prompts of held-out rows are passed over, being longer than the %d tokens that leave room "
                "for an answer in the model's context of %d; %d are answered",
                passed_over,
                longest,
                context,
                len(prompts),
            )
        return cls(tokenizer, template, context, prompts)

    def answers(self, model: Any) -> list[str]:
        """What the model answers to each prompt, greedily: 64 tokens, or as many as its context has left. Draws nothing
        from the random state."""
        rooms = [min(MAX_NEW_TOKENS, self.context - len(prompt.ids)) for prompt in self.prompts]
        answers = [""] * len(self.prompts)
        training = model.training
        model.eval()
        for room in dict.fromkeys(rooms):
            places = [place for place, its in enumerate(rooms) if its == room]
            written = self._write(model, [self.prompts[place].ids for place in places], room)
            for place, text in zip(places, written, strict=True):
                answers[place] = text
        model.train(training)
        return answers

    @torch.no_grad()
    def _write(self, model: Any, ids: Sequence[list[int]], new_tokens: int) -> list[str]:
        longest = max(len(row) for row in ids)
        tokenizer = self.tokenizer
        stops = sorted({tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(list(self.template.stop))})
        filling = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else stops[0]
        written = model.generate(
            input_ids=torch.tensor([[filling] * (longest - len(row)) + row for row in ids], device=model.device),
            attention_mask=torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in ids], device=model.device),
            max_new_tokens=new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=stops,
            pad_token_id=filling,
        )
        return [str(text) for text in tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)]


def _encoded(tokenizer: Any, template: Template, texts: Iterable[str]) -> Iterator[Prompt]:
    return (Prompt(text, prompt_ids(template, text, "", tokenizer)) for text in texts)


def _too_long(number: int, tokens: int, context: int) -> Problem:
    return Problem(
        "PROMPT_TOO_LONG",
        "sample_prompts",
        f"sample_prompts: number {number} has {tokens} tokens, but with an answer the model takes {context}; shorten it to "
        f"at most {context - 1}",
        f"sample_prompts の {number} 番目は {tokens} トークンですが、モデルが扱えるのは応答を含めて {context} トークンです。"
        f"{context - 1} トークン以下に短くしてください",
    )
