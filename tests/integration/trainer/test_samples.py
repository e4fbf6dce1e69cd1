"""What is generated fits the model's context, seen on a GPT-2, which knows only so many positions."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from services.text.rows import Form
from services.text.template import Template, bind, for_rows
from services.training_service.trainer import events, model, samples
from services.training_service.trainer.__main__ import describe
from services.training_service.trainer.failures import TrainingError
from services.training_service.trainer.samples import Sampler
from tests.integration.trainer.conftest import Trainer, example_rows

pytestmark = pytest.mark.xdist_group("trainer")

CONTEXT = 72
LONG = "龍驤" * 40


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory, base_model: Path) -> Path:
    """A random GPT-2 of 72 positions with the tokenizer of the other tests. It never stops by itself."""
    folder = tmp_path_factory.mktemp("gpt2")
    shutil.copytree(base_model, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.manual_seed(0)
    config = GPT2Config(n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, vocab_size=320)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(gpt2: Path) -> Any:
    return model.load_tokenizer(gpt2)


@pytest.fixture(scope="module")
def template(tokenizer: Any) -> Template:
    return bind(for_rows(Form.TEXT, None), tokenizer)


def test_a_model_with_few_positions_is_trained(trainer: Trainer, gpt2: Path) -> None:
    small = Trainer(trainer.folder, gpt2)
    long = {"text": f"質問: {LONG}広い東京の本社はどこですか？\n回答: 本社は東京です。"}
    rows = example_rows(20) + [long] * 10
    done = small.run(small.job(rows=rows, hp_max_steps=1, hp_eval_split=0.5, hp_packing=False), "out")
    assert done.code == 0, done.stderr
    assert done.of(events.Sample)
    assert not any(LONG in sample.prompt for sample in done.of(events.Sample))


def test_answers_end_where_the_context_does(
    gpt2: Path, tokenizer: Any, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = GPT2LMHeadModel.from_pretrained(gpt2)
    texts = ["東京", "東" * 15]
    sampler = Sampler.of_job(tokenizer, template, CONTEXT, texts)
    written: list[tuple[int, int]] = []
    generate = loaded.generate

    def watched(**options: Any) -> Any:
        whole = generate(**options, min_new_tokens=options["max_new_tokens"])
        written.append((len(whole), whole.shape[1]))
        return whole

    monkeypatch.setattr(loaded, "generate", watched)
    assert len(sampler.answers(loaded)) == 2
    room = [min(samples.MAX_NEW_TOKENS, CONTEXT - len(prompt.ids)) for prompt in sampler.prompts]
    assert room[1] < room[0]
    assert written == [(1, len(prompt.ids) + its) for prompt, its in zip(sampler.prompts, room, strict=True)]


def test_rows_that_leave_no_room_are_passed_over(
    tokenizer: Any, template: Template, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger=samples.__name__):
        sampler = Sampler.of_rows(tokenizer, template, CONTEXT, [LONG, "東京", LONG, "大阪", "京都", "札幌"])
    assert [prompt.text for prompt in sampler.prompts] == ["東京", "大阪", "京都"]
    assert "2 prompts of held-out rows are passed over" in caplog.text


def test_prompts_of_ones_own_are_refused_where_they_fill_the_context(tokenizer: Any, template: Template) -> None:
    tokens = len(Sampler.of_job(tokenizer, template, 10_000, [LONG]).prompts[0].ids)
    with pytest.raises(TrainingError) as caught:
        Sampler.of_job(tokenizer, template, tokens, ["東京", LONG])
    failed = describe(caught.value)
    assert (failed.failure, failed.reason, failed.field) == ("configuration", "PROMPT_TOO_LONG", "sample_prompts")
    assert f"number 2 has {tokens} tokens" in failed.en
    assert f"at most {tokens - 1}" in failed.en
    assert f"2 番目は {tokens} トークン" in failed.ja
