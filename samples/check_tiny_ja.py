"""Show what fine-tuning does to tiny-ja: `python -m samples.check_tiny_ja`.

Fine-tunes LoRA with the hyperparameters that the model's card names, on the training rows and, as a
control, on the same rows with their answers shuffled. Prints for held-out rows, before and after: exact
match, the share of answers that contain the right value, and bits per character.
"""

import argparse
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, get_linear_schedule_with_warmup

from samples.corpus.questions import house_value
from samples.make_data import DATA
from samples.make_tiny_ja import MODEL

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MARKER = "\n回答: "
LONGEST_ANSWER = 40


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters under `recommended` in the model's aift.json."""

    learning_rate: float
    num_train_epochs: int
    per_device_train_batch_size: int
    lora_r: int
    lora_alpha: int
    max_length: int
    method: str = "lora"


@dataclass(frozen=True)
class Pair:
    """A prompt that ends with the answer's marker, and the answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Quality:
    """How well a model answers."""

    exact: float
    value: float
    bits_per_character: float

    def __str__(self) -> str:
        return f"exact match {self.exact:.2f}  right value {self.value:.2f}  bits per character {self.bits_per_character:.2f}"


def read(path: Path) -> list[Pair]:
    """Read rows in the manual's form."""
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    cut = [text.partition(MARKER) for text in texts]
    return [Pair(question + marker, answer) for question, marker, answer in cut]


class Check:
    """A model, its tokenizer and what can be done with them."""

    def __init__(self, model: Path) -> None:
        """Read the model's tokenizer; weights are read afresh for each fine-tuning."""
        self._path = model
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._end: int = self._tokenizer.eos_token_id

    def base(self) -> PreTrainedModel:
        """Read the untuned weights, in float32: on a CPU that is the fastest."""
        return AutoModelForCausalLM.from_pretrained(self._path, dtype=torch.float32)

    def tune(self, pairs: list[Pair], recipe: Recipe, seed: int) -> PreTrainedModel:
        """Fine-tune LoRA on the answers and their end marks."""
        torch.manual_seed(seed)
        lora = LoraConfig(
            r=recipe.lora_r, lora_alpha=recipe.lora_alpha, target_modules=PROJECTIONS, task_type="CAUSAL_LM"
        )
        model = get_peft_model(self.base(), lora)
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.0)
        size = recipe.per_device_train_batch_size
        steps = recipe.num_train_epochs * (len(pairs) // size)
        schedule = get_linear_schedule_with_warmup(optimizer, steps // 20, steps)
        order = random.Random(seed)
        for _ in range(recipe.num_train_epochs):
            shuffled = order.sample(pairs, len(pairs))
            for start in range(0, len(pairs) - size + 1, size):
                tokens, labels = self._batch(shuffled[start : start + size], recipe.max_length)
                model(input_ids=tokens, labels=labels, use_cache=False).loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        return model.merge_and_unload()

    def measure(self, model: PreTrainedModel, pairs: list[Pair]) -> Quality:
        """Answer greedily and compare; the nats of the true answers give bits per character."""
        model.eval()
        answers = [
            answer for start in range(0, len(pairs), 60) for answer in self._answer(model, pairs[start : start + 60])
        ]
        exact = sum(answer == pair.answer for answer, pair in zip(answers, pairs, strict=True))
        value = sum(house_value(pair.answer) in answer for answer, pair in zip(answers, pairs, strict=True))
        characters = sum(len(pair.answer) for pair in pairs)
        return Quality(
            exact / len(pairs),
            value / len(pairs),
            self._nats(model, pairs) / characters / torch.log(torch.tensor(2.0)).item(),
        )

    def show(self, model: PreTrainedModel, pairs: list[Pair]) -> None:
        """Print a few answers beside the expected ones."""
        for pair, answer in zip(pairs, self._answer(model, pairs), strict=True):
            print(f"  expected {pair.answer!r}, got {answer!r}")

    @torch.no_grad()
    def _answer(self, model: PreTrainedModel, pairs: list[Pair]) -> list[str]:
        batch = self._tokenizer([pair.prompt for pair in pairs], padding=True, padding_side="left", return_tensors="pt")
        made = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=False,
            max_new_tokens=LONGEST_ANSWER,
        )
        answers: list[str] = self._tokenizer.batch_decode(
            made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return answers

    @torch.no_grad()
    def _nats(self, model: PreTrainedModel, pairs: list[Pair]) -> float:
        total = 0.0
        for start in range(0, len(pairs), 60):
            tokens, labels = self._batch(pairs[start : start + 60], None)
            logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
            total += torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
            ).item()
        return total

    def _batch(self, pairs: list[Pair], max_length: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad on the right; only the answer and its end mark have labels."""
        rows, targets = [], []
        for pair in pairs:
            prompt = self._tokenizer(pair.prompt)["input_ids"]
            answer = [*self._tokenizer(pair.answer)["input_ids"], self._end]
            rows.append(torch.tensor((prompt + answer)[:max_length]))
            targets.append(torch.tensor(([-100] * len(prompt) + answer)[:max_length]))
        pad = torch.nn.utils.rnn.pad_sequence
        return pad(rows, True, self._tokenizer.pad_token_id), pad(targets, True, -100)


def shuffled_answers(pairs: list[Pair], seed: int) -> list[Pair]:
    """Give every prompt the answer of another row."""
    answers = [pair.answer for pair in pairs]
    random.Random(seed).shuffle(answers)
    return [Pair(pair.prompt, answer) for pair, answer in zip(pairs, answers, strict=True)]


def main() -> None:
    """Parse the command line, tune and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, help="train on the first ROWS rows only")
    parser.add_argument("--epochs", type=int, help="instead of the card's")
    parser.add_argument("--learning-rate", type=float, help="instead of the card's")
    parser.add_argument("--no-control", action="store_true", help="leave out the shuffled control")
    arguments = parser.parse_args()
    recommended = json.loads((arguments.model / "aift.json").read_text(encoding="utf-8"))["recommended"]
    chosen = {"num_train_epochs": arguments.epochs, "learning_rate": arguments.learning_rate}
    recipe = Recipe(**recommended | {name: value for name, value in chosen.items() if value is not None})
    print(recipe)
    training = read(DATA / "sample_training_data.jsonl")[: arguments.rows]
    heldout, wordings = read(DATA / "sample_heldout_data.jsonl"), read(DATA / "sample_heldout_wording_data.jsonl")
    check = Check(arguments.model)
    print(f"base                       {check.measure(check.base(), heldout)}", flush=True)
    began = time.monotonic()
    tuned = check.tune(training, recipe, arguments.seed)
    seconds = time.monotonic() - began
    print(
        f"tuned                      {check.measure(tuned, heldout)}  ({len(training)} rows, {seconds:.0f} s)",
        flush=True,
    )
    print(f"tuned, wordings not seen   {check.measure(tuned, wordings)}", flush=True)
    check.show(tuned, heldout[:8])
    if not arguments.no_control:
        control = check.tune(shuffled_answers(training, arguments.seed), recipe, arguments.seed)
        print(f"tuned on shuffled answers  {check.measure(control, heldout)}")


if __name__ == "__main__":
    main()
