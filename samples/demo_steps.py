"""The steps of `make demo`, each told to whoever watches."""

import hashlib
import time
from datetime import datetime
from pathlib import Path

from aift import Client
from aift.cli.output import in_bytes
from aift.cli.report import render_report
from aift.cli.training_display import TrainingDisplay
from aift.data.v1 import data_pb2
from aift.jobs import ENDED
from aift.language import language, text
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2
from google.protobuf.json_format import MessageToDict
from rich.cells import chop_cells
from rich.console import Console
from rich.padding import Padding
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from samples.demo_answers import Question, Score, ask_all, read_questions, score

SAMPLES = Path(__file__).resolve().parent
BASE_MODEL = SAMPLES / "models" / "tiny-ja"
TRAINING_DATA = SAMPLES / "data" / "sample_training_data.jsonl"
HELD_OUT_DATA = SAMPLES / "data" / "sample_heldout_data.jsonl"
HELD_OUT_ROWS = 100
SHOWN_ROWS = 3
STEPS = 7
MODEL_PREFIX = "lora-demo-"


class Demo:
    """The steps of the main job, each told to whoever watches."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client = client
        self._console = console
        self._step = 1

    def base_model(self) -> registry_pb2.BaseModel:
        """Takes the shipped model in, unless an earlier demo did."""
        self._begin("Take a base model in", "ベースモデルを取り込む")
        model = take_in(self._client)
        self._say(
            f"{model.name}: {model.shape.parameters:,} parameters, {model.shape.architecture}. "
            "Small enough for two cores; a model for trying, not for work.",
            f"{model.name}: パラメータ数 {model.shape.parameters:,}({model.shape.architecture})。"
            "2 コアで動く、試用のための小さなモデルです。",
        )
        return model

    def data(self) -> data_pb2.DatasetVersion:
        """Uploads the training rows and shows what the check found."""
        self._begin("Upload data and have it checked", "データをアップロードして検証する")
        version = self._client.datasets.upload(TRAINING_DATA)
        self._console.print(
            f"  {TRAINING_DATA.name} ({in_bytes(version.size_bytes)}) → {version.name}", markup=False, soft_wrap=True
        )
        render_report(self._client.datasets.report(version.name), self._console)
        row = self._client.datasets.preview(version.name, limit=1).rows[0]
        self._say(
            "A row as the model sees it; only the green part is learnt:",
            "モデルから見た 1 行。緑の部分だけを学習します:",
        )
        print_paragraph(self._console, row.prompt)
        print_paragraph(self._console, row.completion, style="green")
        return version

    def plan(self, base: registry_pb2.BaseModel, data: data_pb2.DatasetVersion) -> training_pb2.TrainingSpec:
        """Decides the hyperparameters and says what the training will take."""
        self._begin("Plan the training", "学習を計画する")
        settings = {**MessageToDict(base.recommended), "method": "lora", "lora_r": 16, "per_device_train_batch_size": 4}
        name = datetime.now().astimezone().strftime(f"{MODEL_PREFIX}%Y%m%d-%H%M%S")
        spec = self._client.training.spec(base.name, data.name, settings, model=name)
        plan = self._client.training.plan(spec)
        resolved = plan.spec.hyperparameters
        self._say(
            f"LoRA rank {resolved.lora_r}, batch {resolved.per_device_train_batch_size}; learning rate "
            f"{resolved.learning_rate:g} and {resolved.num_train_epochs:g} epochs as the model's card recommends.",
            f"LoRA ランク {resolved.lora_r}、バッチサイズ {resolved.per_device_train_batch_size}。学習率 "
            f"{resolved.learning_rate:g} とエポック数 {resolved.num_train_epochs:g} はモデルカードの推奨値です。",
        )
        share = plan.trainable_parameters / plan.parameters
        self._say(
            f"{plan.trainable_parameters:,} of {plan.parameters:,} parameters are trained ({share:.0%}); {plan.steps:,} steps over "
            f"{plan.train_rows:,} rows, {plan.eval_rows:,} held out; about {in_bytes(plan.memory_bytes)} of memory.",
            f"全 {plan.parameters:,} 個のうち {plan.trainable_parameters:,} 個を学習({share:.0%})。{plan.train_rows:,} 行で "
            f"{plan.steps:,} ステップ、評価用 {plan.eval_rows:,} 行、メモリの目安 {in_bytes(plan.memory_bytes)}。",
        )
        return spec

    def train(self, spec: training_pb2.TrainingSpec) -> training_pb2.TrainingJob:
        """Starts the job and follows it to its end."""
        self._begin("Fine-tune", "ファインチューニングする")
        job = self._client.training.create(spec)
        self._console.print(f"  {job.name}", style="dim", markup=False)
        try:
            with TrainingDisplay(self._console) as display:
                ended = self._client.training.wait(job.name, on_event=display.show)
        except KeyboardInterrupt:
            # Otherwise it would go on, and hold up the next demo, as soon as the system is started again.
            self._client.training.cancel(job.name)
            raise
        self._say("Fine-tuning is complete.", "ファインチューニング完了。", style="green")
        return ended

    def registered(self, job: training_pb2.TrainingJob) -> registry_pb2.ModelVersion:
        """Shows the version that came of the job."""
        self._begin("The registered model", "登録されたモデル")
        version = self._client.models.version(job.model_version)
        size = in_bytes(sum(entry.size_bytes for entry in version.files))
        self._console.print(f"  {version.name}", style="bold", markup=False)
        self._say(
            f"{size} in {len(version.files)} files; made from {version.base_model} and {version.dataset_version} "
            f"by {version.training_job}.",
            f"{len(version.files)} ファイル、{size}。{version.base_model} と {version.dataset_version} から "
            f"{version.training_job} で作られました。",
        )
        return version

    def compare(self, version: registry_pb2.ModelVersion) -> tuple[Score, Score]:
        """Puts the held-out questions to both models and shows some answers side by side."""
        self._begin("Ask both models what neither was trained on", "学習に使っていない質問を両方のモデルに聞く")
        questions = read_questions(HELD_OUT_DATA, HELD_OUT_ROWS)
        before = self._ask(version.base_model, questions, raw=True, label=text("base", "学習前"))
        after = self._ask(version.name, questions, raw=False, label=text("tuned", "学習後"))
        table = Table(show_lines=True, expand=True)
        for heading in (
            text("question", "質問"),
            text("expected", "正解"),
            text("base", "学習前"),
            text("tuned", "学習後"),
        ):
            table.add_column(heading, overflow="fold", ratio=1)
        for question, base, tuned in list(zip(questions, before, after, strict=True))[:SHOWN_ROWS]:
            style = "green" if tuned == question.answer else "yellow"
            table.add_row(Text(question.question), Text(question.answer), Text(base), Text(tuned, style=style))
        self._console.print(table)
        return score(questions, before), score(questions, after)

    def verdict(self, job: training_pb2.TrainingJob, before: Score, after: Score) -> None:
        """The figures, with what they say and what they do not."""
        self._begin("Before and after", "学習の前と後")
        table = Table()
        table.add_column("")
        for heading in (text("base", "学習前"), text("tuned", "学習後")):
            table.add_column(heading, justify="right")
        rows = HELD_OUT_ROWS
        table.add_row(
            text(f"exact match ({rows} rows)", f"完全一致({rows} 行)"), f"{before.exact:.0%}", f"{after.exact:.0%}"
        )
        table.add_row(
            text("right value in the answer", "正しい値を含む回答"),
            f"{before.right_value:.0%}",
            f"{after.right_value:.0%}",
        )
        metrics = job.metrics
        table.add_row(
            text("bits per character (less is better)", "1 文字あたりのビット数(小さいほど良い)"),
            f"{metrics['base_eval_bits_per_character']:.2f}",
            f"{metrics['eval_bits_per_character']:.2f}",
        )
        self._console.print(table)
        self._say(
            "Exact match begins near 0 because the base never saw this style of answer; the right value is the fairer gain.",
            "完全一致が 0 付近から始まるのは、学習前のモデルがこの答え方を知らないためです。「正しい値」の伸びのほうが公平な目安です。",
            style="dim",
        )

    def _ask(self, model: str, questions: list[Question], *, raw: bool, label: str) -> list[str]:
        begin = time.monotonic()
        with Progress(console=self._console, disable=not self._console.is_terminal, transient=True) as progress:
            task = progress.add_task(f"  {label}", total=len(questions))
            answers = ask_all(self._client, model, questions, raw=raw, answered=lambda: progress.advance(task))
        seconds = time.monotonic() - begin
        self._say(
            f"{label}: {len(answers)} answers in {seconds:.1f} s", f"{label}: {len(answers)} 件の回答({seconds:.1f} 秒)"
        )
        return answers

    def _begin(self, en: str, ja: str) -> None:
        self._console.print()
        self._console.print(f"[{self._step}/{STEPS}] {text(en, ja)}", style="bold cyan", markup=False)
        self._step += 1

    def _say(self, en: str, ja: str, style: str = "") -> None:
        print_paragraph(self._console, text(en, ja), style=style)


def cancel_leftovers(client: Client) -> None:
    """Ends the jobs of demos that were killed; they would go on now and slow this one down."""
    for job in client.training.list():
        if job.state not in ENDED and job.spec.model.startswith(f"models/{MODEL_PREFIX}"):
            client.training.cancel(job.name)


def print_paragraph(console: Console, words: str, style: str = "") -> None:
    """Prose with an indent. Japanese is broken anywhere: at its few spaces only it would leave ragged lines."""
    width = console.width - 2
    if language() == "ja":
        words = "\n".join(part for line in words.splitlines() for part in chop_cells(line, width))
    console.print(Padding(Text(words, style=style), (0, 0, 0, 2)))


def take_in(client: Client) -> registry_pb2.BaseModel:
    """The shipped model, imported unless the same weights are there already from an earlier demo."""
    digest = hashlib.sha256((BASE_MODEL / "model.safetensors").read_bytes()).hexdigest()
    there = list(client.base_models.list())
    for model in there:
        same = any(file.path == "model.safetensors" and file.sha256 == digest for file in model.files)
        if same and model.state == registry_pb2.BASE_MODEL_STATE_READY:
            return model
    taken = any(model.name == "baseModels/tiny-ja" for model in there)
    return client.base_models.import_dir(BASE_MODEL, base_model_id=f"tiny-ja-{digest[:8]}" if taken else "tiny-ja")
