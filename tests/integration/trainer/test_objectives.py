"""What is learnt by each objective, and which weights are the result."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from services.training_service.trainer import attention, events, job, objective, preference
from services.training_service.trainer.batches import collate
from services.training_service.trainer.data import prepare
from services.training_service.trainer.failures import ConfigurationError, DataError
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.model import going_on, prove_packing
from services.training_service.trainer.ranks import Ranks
from services.training_service.trainer.rows import AnswerRow
from tests.integration.trainer.conftest import PLACES, Finished, Trainer, example_rows
from tests.integration.trainer.preloaded import run_ranks

pytestmark = pytest.mark.xdist_group("trainer")


def preference_rows(count: int) -> list[dict[str, Any]]:
    """Polite answers are chosen, rude ones rejected."""
    numbers = random.Random(1)
    rows = []
    for _ in range(count):
        place = numbers.choice(PLACES)
        question = f"{'広い' * numbers.randint(0, 6)}{place}の本社はどこですか？"
        rows.append({"prompt": question, "chosen": f"本社は{place}です。", "rejected": f"{place}。知らない。"})
    return rows


def labeled_rows(count: int) -> list[dict[str, Any]]:
    """The same, one answer a row."""
    return [
        {"prompt": row["prompt"], "completion": row[name], "label": name == "chosen"}
        for number, row in enumerate(preference_rows(count))
        for name in [("chosen", "rejected")[number % 2]]
    ]


def run(trainer: Trainer, job_file: Path, output: str) -> Finished:
    """One rank from start to end."""
    return run_ranks(trainer, job_file, output, ranks=1)[0]


def prepared(trainer: Trainer, name: str, rows: list[dict[str, Any]], **fields: Any) -> list[AnswerRow]:
    description = job.load(trainer.job(name, rows, **fields))
    data = prepare(description, AutoTokenizer.from_pretrained(trainer.base_model), 256, lambda share: None)
    assert all(isinstance(row, AnswerRow) for row in data.train)
    return [row for row in data.train if isinstance(row, AnswerRow)]


def alone(model: Any, row: AnswerRow) -> list[tuple[float, int]]:
    """Log-probability and length of each answer, counted from the model's whole output one sequence after another."""
    found = []
    for sequence in row.sequences:
        ids = torch.tensor(sequence.ids[None].astype("int64"))
        every = torch.log_softmax(model(input_ids=ids).logits.float(), -1)[0, :-1]
        each = every.gather(1, ids[0, 1:, None])[:, 0]
        kept = torch.tensor(sequence.trained[1:])
        found.append((float(each[kept].sum()), int(kept.sum())))
    return found


@pytest.fixture
def model(base_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base_model).eval()


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("name", ["dpo", "orpo", "kto"])
@torch.no_grad()
def test_losses_are_those_of_the_papers(name: Any, packing: bool, trainer: Trainer, model: Any) -> None:
    hp = Hyperparameters(objective=name, beta=0.3)
    source = labeled_rows(8) if name == "kto" else preference_rows(8)
    rows = prepared(trainer, name, source, hp_objective=name)[:5]
    attention.register()
    if packing:
        assert prove_packing(model, 300, torch.device("cpu"))
    told: list[float] = []
    rows = preference.with_reference(model, rows, hp, tokens=200, packing=packing, ranks=Ranks(), told=told.append)
    for parameter in model.parameters():  # moved on from the reference
        parameter.mul_(1.1)
    loss = float(preference.summed_loss(model, collate(rows, packing, compared=True), hp))
    model.set_attn_implementation("sdpa")
    (one, two) = ([alone(model, row)[side] for row in rows] for side in (0, 1))
    first, second = torch.tensor([x for x, _ in one]), torch.tensor([x for x, _ in two])
    ref_first, ref_second = torch.tensor([r.reference for r in rows]).unbind(1)
    if name == "dpo":
        expected = -torch.nn.functional.logsigmoid(0.3 * ((first - ref_first) - (second - ref_second))).sum()
    elif name == "orpo":
        chances = [torch.tensor([math.exp(x / n) for x, n in side]) for side in (one, two)]
        odds = [p / (1 - p) for p in chances]
        expected = -(chances[0].log() + 0.3 * torch.sigmoid((odds[0] / odds[1]).log()).log()).sum()
    else:
        point = (second - ref_second).mean().clamp(min=0)
        signs = torch.tensor([1.0 if row.wanted else -1.0 for row in rows])
        expected = (1 - torch.sigmoid(0.3 * signs * ((first - ref_first) - point))).sum()
    assert loss == pytest.approx(float(expected), rel=1e-4)
    assert name == "orpo" or told[-1] == 1.0


def test_only_the_last_answer_is_compared(trainer: Trainer) -> None:
    talk = [
        {"role": "user", "content": "こんにちは"},
        {"role": "assistant", "content": "やあ"},
        {"role": "user", "content": "元気？"},
    ]
    rows = [{"prompt": talk, "chosen": [{"role": "assistant", "content": good}], "rejected": "はあ"} for good in "良悪"]
    for row in prepared(trainer, "talk", [*rows, *rows], hp_objective="dpo", hp_eval_split=0.0):
        for sequence in row.sequences:
            (trained,) = sequence.trained.nonzero()
            assert trained[-1] - trained[0] + 1 == len(trained), "one piece"
            assert trained[-1] == len(sequence.ids) - 1
            assert len(trained) < 12


@pytest.mark.parametrize("name", ["dpo", "orpo", "kto"])
def test_the_better_answers_win(name: str, trainer: Trainer) -> None:
    rows = labeled_rows(48) if name == "kto" else preference_rows(32)
    fast = {"hp_learning_rate": 5e-3, "hp_max_steps": 24, "hp_eval_split": 0.25}
    done = run(trainer, trainer.job(rows=rows, hp_objective=name, **fast), "out")
    assert done.code == 0, done.stderr
    metrics = done.result.metrics
    if name == "dpo":
        assert metrics["base_eval_loss"] == pytest.approx(math.log(2), rel=1e-4)
    if name == "kto":
        assert metrics["base_eval_loss"] == pytest.approx(0.5, abs=1e-3)
    assert metrics["eval_loss"] < 0.9 * metrics["base_eval_loss"]
    assert ("base_eval_reward_accuracy" in metrics) == (name == "orpo"), "rounding where the model is its own reference"
    assert metrics["eval_reward_accuracy"] > 0.9
    assert metrics["eval_reward_margin"] > 0


def test_preference_training_goes_on_bit_equal(trainer: Trainer) -> None:
    options = {"hp_objective": "dpo", "hp_max_steps": 8, "hp_save_steps": 4, "hp_lora_dropout": 0.2}
    straight = run(trainer, trainer.job(rows=preference_rows(16), **options), "straight")
    checkpoint = str(straight.output_dir / "checkpoints" / "step-4")
    resumed = run(trainer, trainer.job(rows=preference_rows(16), checkpoint=checkpoint, **options), "resumed")
    assert resumed.losses == straight.losses[4:]
    one, two = (load_file(done.output_dir / "model" / "adapter_model.safetensors") for done in (straight, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_pairs_serve_kto_too() -> None:
    from services.text.rows import Form, parse

    pair = parse(preference_rows(1)[0], Form.PREFERENCE)
    wanted, unwanted = objective.examples_for([pair], "kto")
    assert (wanted.completion, unwanted.completion) == (pair.completion, pair.rejected)  # type: ignore[union-attr]


@pytest.mark.parametrize("label", [True, False, None])
def test_answers_of_one_kind_only_are_told(
    label: bool | None, trainer: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{**row, **({} if label is None else {"label": label})} for row in labeled_rows(8)]
    description = job.load(trainer.job(rows=rows, hp_objective="kto"))
    prepare(description, AutoTokenizer.from_pretrained(trainer.base_model), 256, lambda share: None)
    told = [record.getMessage() for record in caplog.records if "the label" in record.getMessage()]
    assert [line.rpartition(" ")[2] for line in told] == ([] if label is None else [str(not label).lower()])


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("dpo", example_rows(4)),
        ("kto", example_rows(4)),
        ("sft", preference_rows(4)),
        ("pretraining", preference_rows(4)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_of_another_kind_are_refused(name: str, rows: list[dict[str, Any]], trainer: Trainer) -> None:
    description = job.load(trainer.job(rows=rows, hp_objective=name))
    with pytest.raises(DataError) as refused:
        prepare(description, AutoTokenizer.from_pretrained(trainer.base_model), 256, lambda share: None)
    assert [problem.reason for problem in refused.value.problems] == ["OBJECTIVE_MISMATCH"]


def test_long_texts_are_learnt_to_their_end(trainer: Trainer) -> None:
    texts = [{"text": f"質問: {n}番\n回答: " + "東京は広い。" * (n * 9)} for n in range(1, 7)]
    tokenizer = AutoTokenizer.from_pretrained(trainer.base_model)
    description = job.load(trainer.job(rows=texts, hp_objective="pretraining", hp_max_length=16, hp_eval_split=0.0))
    data = prepare(description, tokenizer, 16, lambda share: None)
    assert (data.template.kind, data.template.train_on) == ("plain", "all")
    assert max(row.tokens for row in data.train) == 16
    whole = sum(len(tokenizer(row["text"])["input_ids"]) for row in texts)  # BOS is not learnt, the stop token is
    assert sum(row.trained_tokens for row in data.train) == whole
    done = run(trainer, Path(trainer.folder / "job.json"), "out")
    assert done.code == 0, done.stderr


def test_training_ends_early_and_the_best_weights_are_the_result(trainer: Trainer) -> None:
    # Far too fast: the held-out loss soon rises.
    options = {"hp_learning_rate": 0.05, "hp_max_steps": 60, "hp_eval_steps": 2, "hp_early_stopping_patience": 3}
    fields = {**options, "hp_load_best_model_at_end": True, "hp_eval_split": 0.3, "hp_save_steps": 2}
    done = run(trainer, trainer.job(**fields), "out")
    assert done.code == 0, done.stderr
    measured = [m for m in done.of(events.Metric) if "eval_loss" in m.values]
    losses = {m.step: m.values["eval_loss"] for m in measured if m.step}
    result, best = done.result, min(losses, key=lambda step: losses[step])
    assert result.step < 60
    assert result.step == best + 3 * 2
    # Every step is told of once, under its own number, and none that was not done.
    assert [m.step for m in measured] == list(range(0, result.step + 1, 2))
    samples = done.of(events.Sample)
    assert [sample.step for sample in samples] == [step for step in range(0, result.step + 1, 2) for _ in range(3)]
    assert sum("training ends at step" in line for log in done.of(events.Log) for line in log.lines) == 1
    last = done.of(events.Progress)[-1]
    assert (last.phase, last.step, last.total_steps) == ("saving", result.step, 60)
    assert result.metrics["eval_loss"] == pytest.approx(losses[best], rel=1e-6)
    facts = json.loads((done.output_dir / "model" / "aift.json").read_text(encoding="utf-8"))
    assert facts["metrics"]["eval_loss"] == result.metrics["eval_loss"]
    newest = sorted((done.output_dir / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))[-1]
    resumed = run(trainer, trainer.job("again", checkpoint=str(newest), **fields), "resumed")
    assert resumed.result.metrics["eval_loss"] == result.metrics["eval_loss"]


def test_noise_on_embeddings_trains_without_packing(trainer: Trainer) -> None:
    done = run(trainer, trainer.job(hp_neftune_noise_alpha=5.0, hp_warmup_steps=2), "out")
    assert done.code == 0, done.stderr
    first = next(m.values for m in done.of(events.Metric) if "loss" in m.values)
    # Before the first step the weights are the base's: only noise tells the loss of training from that of evaluating.
    assert abs(first["loss"] - done.result.metrics["base_eval_loss"]) > 1e-3
    rates = [m.values["learning_rate"] for m in done.of(events.Metric) if "learning_rate" in m.values]
    assert rates[:3] == [0.0, 5e-4, 1e-3]


def test_an_adapter_is_trained_on(trainer: Trainer) -> None:
    fast = {"hp_method": "qlora", "hp_learning_rate": 5e-3, "hp_max_steps": 12, "sample_prompts": ["東京の本社は？"]}
    first = run(trainer, trainer.job(**fast), "first")
    assert first.code == 0, first.stderr
    adapter = str(first.output_dir / "model")
    second = run(trainer, trainer.job(adapter=adapter, start_from="models/a/versions/1", **fast), "second")
    assert second.code == 0, second.stderr
    metrics = second.result.metrics
    assert metrics["base_eval_loss"] == pytest.approx(first.result.metrics["eval_loss"], rel=1e-3)
    assert metrics["eval_loss"] < metrics["base_eval_loss"]
    facts = json.loads((second.output_dir / "model" / "aift.json").read_text(encoding="utf-8"))
    assert facts["start_from"] == "models/a/versions/1"
    one, two = (load_file(done.output_dir / "model" / "adapter_model.safetensors") for done in (first, second))
    assert one.keys() == two.keys()
    before, after = ({sample.step: sample.text for sample in done.of(events.Sample)} for done in (first, second))
    assert before[0] != before[12]
    assert after[0] == before[0], "the base model's answer, not that of the adapter from before"


def test_a_folder_without_adapter_is_refused(base_model: Path, model: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        going_on(model, base_model, Hyperparameters())
    assert refused.value.problems[0].reason == "MODEL_UNREADABLE"
