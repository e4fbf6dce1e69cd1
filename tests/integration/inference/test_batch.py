"""Rows that join and leave a batch get the text that they would get alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from services.inference_service.engines import protocol
from services.inference_service.engines.batch import Row
from services.inference_service.engines.detokenizer import Detokenizer
from services.inference_service.engines.sampler import Choice
from services.inference_service.engines.scheduler import Scheduler
from services.inference_service.engines.weights import Weights
from tests.integration.inference.conftest import ModelFolders

PROMPTS = ("質問: 日本", "Business", "お問い合わせの部署は", "0", "質問: 日本の首都はどこですか？\n回答: ")


@pytest.fixture(scope="module")
def weights(folders: ModelFolders) -> Weights:
    torch.set_num_threads(1)
    loaded = Weights(folders.base)
    for number, folder in enumerate(folders.adapters, start=1):
        loaded.load_adapter(f"d{number}", folder)
    return loaded


def row(weights: Weights, name: str, prompt: str, adapter: str = "", tokens: int = 20) -> Row:
    ids = weights.tokenizer(prompt)["input_ids"]
    return Row(
        request=name,
        adapter=adapter,
        prompt_ids=ids,
        max_new_tokens=tokens,
        choice=Choice(temperature=0, top_p=1, top_k=0, repetition_penalty=1.1, seed=0),
        detokenizer=Detokenizer(weights.tokenizer, ids, ()),
        stop_tokens=weights.stop_tokens_with(()),
        arrived=time.monotonic(),
    )


class Ears:
    """Hears what the scheduler says."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.ends: dict[str, protocol.End] = {}

    def __call__(self, message: protocol.Message) -> None:
        match message:
            case protocol.Text():
                self.texts[message.request] = self.texts.get(message.request, "") + message.text
            case protocol.End():
                self.ends[message.request] = message


def reference(folders: ModelFolders, prompt: str, adapter: Path | None, weights: Weights, tokens: int = 20) -> str:
    """What transformers' own generate writes, one prompt at a time."""
    model: Any = AutoModelForCausalLM.from_pretrained(folders.base)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    inputs = weights.tokenizer(prompt, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    ids = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, repetition_penalty=1.1)
    new = ids[0, inputs["input_ids"].shape[1] :]
    return str(weights.tokenizer.decode(new, skip_special_tokens=True))


def test_rows_of_all_lengths_and_adapters_write_what_they_write_alone(weights: Weights, folders: ModelFolders) -> None:
    ears = Ears()
    scheduler = Scheduler(weights, 8, ears)
    cases = {
        f"{number}-{prompt}": (prompt, number)
        for number, prompt in [(0, PROMPTS[0]), (1, PROMPTS[1]), (2, PROMPTS[2]), (1, PROMPTS[3]), (0, PROMPTS[4])]
    }
    for name, (prompt, number) in cases.items():
        scheduler.add(row(weights, name, prompt, f"d{number}" if number else ""))
        scheduler.step()  # the next one joins while this one is under way
    while scheduler.busy:
        scheduler.step()
    for name, (prompt, number) in cases.items():
        adapter = folders.adapters[number - 1] if number else None
        assert ears.texts.get(name, "") == reference(folders, prompt, adapter, weights)
    assert len({ears.texts[name] for name in cases}) == len(cases)


def test_more_rows_than_places_wait_their_turn(weights: Weights) -> None:
    ears = Ears()
    scheduler = Scheduler(weights, 2, ears)
    for number in range(5):
        scheduler.add(row(weights, str(number), PROMPTS[number], tokens=3 + number))
    while scheduler.busy:
        scheduler.step()
    assert set(ears.ends) == {"0", "1", "2", "3", "4"}
    assert all(end.completion_tokens <= 3 + int(name) for name, end in ears.ends.items())


def test_a_cancelled_row_leaves_and_the_others_go_on(weights: Weights, folders: ModelFolders) -> None:
    ears = Ears()
    scheduler = Scheduler(weights, 4, ears)
    scheduler.add(row(weights, "long", PROMPTS[4]))
    scheduler.add(row(weights, "gone", PROMPTS[2]))
    scheduler.step()
    scheduler.cancel("gone")
    while scheduler.busy:
        scheduler.step()
    assert set(ears.ends) == {"long"}
    assert ears.texts["long"] == reference(folders, PROMPTS[4], None, weights)
