"""A tiny random Llama with a byte-fallback tokenizer, rows to train it on, and trainer processes."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.training_service.trainer import events

ROOT = Path(__file__).resolve().parents[3]
PLACES = ("東京", "大阪", "京都", "札幌", "福岡", "仙台", "広島", "那覇")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def example_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Questions of very different length whose answer stands in the question."""
    numbers = random.Random(seed)
    rows = []
    for _ in range(count):
        place, filling = numbers.choice(PLACES), "とても" * numbers.randint(0, 12)
        rows.append({"text": f"質問: {filling}広い{place}の本社はどこですか？\n回答: 本社は{place}です。"})
    return rows


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with config.json, model.safetensors and a tokenizer; 2 layers, 64 wide."""
    import torch
    from tokenizers import Tokenizer, decoders, models, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    special = ["<s>", "</s>", "<unk>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=[*special, *byte_tokens], show_progress=False)
    backend.train_from_iterator([row["text"] for row in example_rows(50)], trainer)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        vocab_size=-(-len(tokenizer) // 32) * 32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@dataclass
class Finished:
    """A trainer process that ended."""

    code: int
    output_dir: Path
    stderr: str

    @property
    def lines(self) -> list[events.Line]:
        return list(events.read(self.output_dir / "events.jsonl"))

    def of(self, kind: type[Any]) -> list[Any]:
        return [line.event for line in self.lines if isinstance(line.event, kind)]

    @property
    def losses(self) -> list[float]:
        """Training loss of every step, the newest where a step was trained again."""
        newest = {m.step: m.values["loss"] for m in self.of(events.Metric) if "loss" in m.values}
        return [newest[step] for step in sorted(newest)]

    @property
    def result(self) -> events.Finished:
        last = self.lines[-1].event
        assert isinstance(last, events.Finished), (last, self.stderr)
        return last


@dataclass
class Trainer:
    """Starts trainer processes on job files in a folder of its own."""

    folder: Path
    base_model: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def job(self, name: str = "job", rows: list[dict[str, Any]] | None = None, **fields: Any) -> Path:
        """Writes rows and a job file; hyperparameters are keyword arguments named hp_…."""
        data = self.folder / f"{name}.jsonl"
        lines = rows if rows is not None else example_rows(40)
        data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines), encoding="utf-8")
        small = {"max_steps": 6, "warmup_ratio": 0.0, "learning_rate": 1e-3, "eval_split": 0.1, "lora_r": 8}
        given = {key.removeprefix("hp_"): fields.pop(key) for key in list(fields) if key.startswith("hp_")}
        value = {
            "base_model": {"path": str(self.base_model), "name": "baseModels/tiny"},
            "dataset": {"path": str(data), "name": "datasets/tiny/versions/1"},
            "hyperparameters": small | given,
            "threads": 1,
            **fields,
        }
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(value), encoding="utf-8")
        return path

    def start(self, job: Path, output: str, **environment: str) -> subprocess.Popen[str]:
        """Starts one rank."""
        process = subprocess.Popen(
            [sys.executable, "-m", "services.training_service.trainer", str(job), str(self.folder / output)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "AIFT_LANG": "en", **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kills what a failed test left running."""
        for process in self.started:
            process.kill()
            process.communicate()

    def wait(self, process: subprocess.Popen[str], output: str) -> Finished:
        """Waits for the end of a rank."""
        _, stderr = process.communicate(timeout=240)
        return Finished(process.returncode, self.folder / output, stderr)

    def run(self, job: Path, output: str) -> Finished:
        """One rank from start to end."""
        return self.wait(self.start(job, output), output)

    def run_two(self, job: Path, output: str) -> list[Finished]:
        """Two ranks over gloo from start to end."""
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        started = [self.start(job, output, RANK=str(r), LOCAL_RANK=str(r), **shared) for r in range(2)]
        return [self.wait(process, output) for process in started]


def free_port() -> str:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture
def trainer(tmp_path: Path, base_model: Path) -> Iterator[Trainer]:
    made = Trainer(tmp_path, base_model)
    yield made
    made.end()
