"""Pre-training of tiny-ja on generated text: one rank of two, each a process of one thread."""

import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch.multiprocessing.spawn import start_processes
from transformers import LlamaConfig, LlamaForCausalLM

from samples.corpus import passages
from samples.corpus.questions import PLAIN, ask
from samples.corpus.records import compose
from samples.corpus.splits import Split
from samples.tokenizer import END, PAD, VOCABULARY

RANKS = 2


@dataclass(frozen=True)
class Recipe:
    """What the run does; rows are counted over all ranks, a row has `length` tokens."""

    tokens: int = 4_800_000
    length: int = 256
    rows_per_step: int = 8
    learning_rate: float = 3e-3
    warm_up_steps: int = 100
    falling_share: float = 0.4
    curriculum_share: float = 0.125
    given_weight: float = 0.2
    seed: int = 0

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return self.tokens // (self.rows_per_step * self.length)

    def rate_at(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, constant, linear fall to nought at the end."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        fall = min(1.0, (self.steps - step) / (self.falling_share * self.steps))
        return self.learning_rate * warm * fall


def build(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """Build the untrained model of 2.2 million parameters; all sizes are multiples of 32."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.06,
            pad_token_id=tokenizer.token_to_id(PAD),
            eos_token_id=tokenizer.token_to_id(END),
            bos_token_id=None,
        )
    )


class Row(NamedTuple):
    """Whole passages one after the other, filled up with padding to the recipe's length."""

    tokens: list[int]
    positions: list[int]
    """Start again at nought with each passage: that is what keeps passages from seeing each other."""
    weights: list[float]
    """How much a token counts in the loss: the made-up part little, since nothing foretells it."""


def rows(tokenizer: Tokenizer, recipe: Recipe, rank: int) -> Iterator[Row]:
    """Yield this rank's rows for the whole run."""
    rng = random.Random(f"{recipe.seed}/{rank}")
    total = recipe.steps * recipe.rows_per_step // RANKS
    row = Row([], [], [])
    made = 0
    while made < total:
        listing = made < recipe.curriculum_share * total
        given, following = (passages.listed_twice if listing else passages.passage)(rng)
        start, end = tokenizer.encode(given).ids, tokenizer.encode(following + END).ids
        length = len(start) + len(end)
        if len(row.tokens) + length > recipe.length:
            yield _filled(row, recipe.length)
            made += 1
            row = Row([], [], [])
        row.tokens.extend(start + end)
        row.positions.extend(range(length))
        row.weights.extend([recipe.given_weight] * len(start) + [1.0] * len(end))


def _filled(row: Row, length: int) -> Row:
    """Pad; a passage longer than a whole row, which no maker makes, would be cut."""
    rest = max(0, length - len(row.tokens))
    return Row(
        [*row.tokens, *[0] * rest][:length],
        [*row.positions, *range(rest)][:length],
        [*row.weights, *[0.0] * rest][:length],
    )


class LookUp:
    """Records that the run does not train on, with one question each: does the model find the value?"""

    def __init__(self, tokenizer: Tokenizer, probes: int = 100) -> None:
        """Prepare `probes` records made of entities of the pre-training split."""
        rng = random.Random("look-up")
        self._pairs: list[tuple[list[int], list[int]]] = []
        for _ in range(probes):
            record = compose(rng, Split.PRETRAIN)
            question, _, value = ask(rng, record, PLAIN)
            prompt = tokenizer.encode(f"問 {record.text}{question}\n答 ").ids
            self._pairs.append((prompt, tokenizer.encode(value).ids))

    @torch.no_grad()
    def share(self, model: LlamaForCausalLM) -> float:
        """Return the share of values of which every token is the model's first choice."""
        width = max(len(prompt) + len(value) for prompt, value in self._pairs)
        batch = torch.zeros(len(self._pairs), width, dtype=torch.long)
        for row, (prompt, value) in enumerate(self._pairs):
            batch[row, : len(prompt) + len(value)] = torch.tensor(prompt + value)
        choices: list[list[int]] = model(batch, use_cache=False).logits.argmax(-1).tolist()
        found = [
            choices[row][len(prompt) - 1 : len(prompt) + len(value) - 1] == value
            for row, (prompt, value) in enumerate(self._pairs)
        ]
        return found.count(True) / len(found)


class Rank:
    """One of the processes that train together; all hold the same weights after each step."""

    def __init__(self, tokenizer: Tokenizer, recipe: Recipe, rank: int) -> None:
        """Build the model from the seed, the same in every rank."""
        torch.manual_seed(recipe.seed)
        self.model = build(tokenizer)
        self._recipe = recipe
        self._rank = rank
        self._rows = rows(tokenizer, recipe, rank)
        self._look_up = LookUp(tokenizer)
        self._optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)

    def train(self) -> None:
        """Run all steps; rank 0 tells how it goes."""
        began = time.monotonic()
        for step in range(self._recipe.steps):
            loss = self._step(step)
            if self._rank == 0 and (step + 1) % 60 == 0:
                self._tell(step + 1, loss, time.monotonic() - began)

    def _step(self, step: int) -> float:
        rows_here = list(itertools.islice(self._rows, self._recipe.rows_per_step // RANKS))
        tokens, positions, weights = (torch.tensor(part) for part in zip(*rows_here, strict=True))
        logits = self.model(input_ids=tokens, position_ids=positions, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
        )
        weights = weights * (positions > 0)  # the first token of a passage follows from nothing
        loss = (losses * weights[:, 1:].flatten()).sum() / weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        self._average_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.rate_at(step)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(loss.item())

    def _average_gradients(self) -> None:
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= RANKS
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _tell(self, done: int, loss: float, seconds: float) -> None:
        speed = done * self._recipe.rows_per_step * self._recipe.length / seconds
        left = seconds / done * (self._recipe.steps - done)
        print(
            f"step {done}/{self._recipe.steps}  loss {loss:.3f}  look-up {self._look_up.share(self.model):.2f}  "
            f"{speed:,.0f} tokens/s  {left:.0f} s left",
            flush=True,
        )


def run(tokenizer: Tokenizer, recipe: Recipe, workplace: Path) -> LlamaForCausalLM:
    """Train in fresh processes, which meet and leave the weights in the directory `workplace`."""
    start_processes(_rank_main, (tokenizer.to_str(), recipe, workplace), nprocs=RANKS, start_method="spawn")  # type: ignore[no-untyped-call]
    model = build(tokenizer)
    model.load_state_dict(torch.load(workplace / "weights.pt", weights_only=True))
    return model


def _rank_main(rank: int, tokenizer_json: str, recipe: Recipe, workplace: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{workplace / 'meeting'}", rank=rank, world_size=RANKS)
    trainer = Rank(Tokenizer.from_str(tokenizer_json), recipe, rank)
    trainer.train()
    if rank == 0:
        torch.save(trainer.model.state_dict(), workplace / "weights.pt")
    dist.destroy_process_group()
