"""aift plan and aift train: what a training takes, and the training itself."""

from pathlib import Path
from typing import Annotated

import typer

from aift.cli import session
from aift.cli.jobs import follow, render_job
from aift.cli.output import Json, brief, facts, in_bytes, in_time, notes, out, print_json, show, table
from aift.cli.report import render_report
from aift.cli.training_options import (
    BaseModel,
    Config,
    Data,
    EvalData,
    Fit,
    Gpu,
    Model,
    Preset,
    Set,
    StartFrom,
    described,
)
from aift.cli.transfers import TransferBars
from aift.client import Client
from aift.errors import invalid
from aift.hyperparameters import as_settings
from aift.job_file import TrainingFile
from aift.jsonform import as_json
from aift.language import localized, text
from aift.training.v1 import training_pb2


def plan(
    context: typer.Context,
    settings: dict[str, object],
    base_model: BaseModel = None,
    data: Data = None,
    eval_data: EvalData = None,
    start_from: StartFrom = None,
    preset: Preset = None,
    config: Config = None,
    assignments: Set = None,
    processes: Annotated[
        int,
        typer.Option(
            "--processes", min=0, help=text("That train together; 0: one a GPU.", "並列プロセス数。0 は GPU 数。")
        ),
    ] = 0,
    gpu: Gpu = "",
    json: Json = False,
) -> None:
    """Shows what a training would take."""
    given = {
        "base_model": base_model,
        "data": data,
        "eval_data": eval_data,
        "start_from": start_from,
        "preset": preset,
        "processes": processes,
    }
    wanted = described(given, settings, config=config, assignments=assignments or (), rest=context.args)
    with session.client() as client:
        spec = spec_of(client, wanted, json_form=json)
        show(client.training.plan(spec, gpu=gpu), _render_plan, json_form=json)


def train(
    context: typer.Context,
    settings: dict[str, object],
    base_model: BaseModel = None,
    data: Data = None,
    eval_data: EvalData = None,
    model: Model = None,
    start_from: StartFrom = None,
    preset: Preset = None,
    config: Config = None,
    assignments: Set = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            help=text(
                "Write the result there too (implies --wait).", "結果をこのフォルダにも保存します(--wait を含む)。"
            ),
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help=text("Until it has ended; the exit code tells how.", "終わるまで待ち、成否を終了コードで返します。"),
        ),
    ] = False,
    display_name: Annotated[str, typer.Option("--display-name", help=text("For people.", "表示名。"))] = "",
    job_id: Annotated[
        str, typer.Option("--job-id", help=text("The job's id; default: made.", "ジョブの ID。省略時は自動。"))
    ] = "",
    sample_prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--sample-prompt",
            help=text("Answered during training; repeatable.", "学習中に回答させるプロンプト。複数指定可。"),
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            "--processes", min=0, help=text("That train together; 0: one a GPU.", "並列プロセス数。0 は GPU 数。")
        ),
    ] = 0,
    priority: Annotated[
        int,
        typer.Option(
            "--priority", min=0, max=100, help=text("Higher goes first; 0 means 50.", "大きいほど先に実行。0 は 50。")
        ),
    ] = 0,
    fit: Fit = False,
    json: Json = False,
) -> None:
    """Starts a training, and waits for it when asked to."""
    given = {
        "base_model": base_model,
        "data": data,
        "eval_data": eval_data,
        "start_from": start_from,
        "preset": preset,
        "model": model,
        "output": output,
        "display_name": display_name,
        "sample_prompts": tuple(sample_prompt or ()),
        "processes": processes,
    }
    wanted = described(given, settings, config=config, assignments=assignments or (), rest=context.args)
    with session.client() as client:
        spec = spec_of(client, wanted, json_form=json)
        spec = client.training.fitted(spec) if fit else spec
        job = client.training.create(spec, job_id=job_id, display_name=wanted.display_name, priority=priority)
        if wait or wanted.output:
            _see_through(client, job, wanted.output, json_form=json)
        else:
            show(job, _render_started, json_form=json)


def spec_of(client: Client, wanted: TrainingFile, *, json_form: bool) -> training_pb2.TrainingSpec:
    """The spec of a description; a file of this machine is sent first. Raises AiftError MISSING."""
    for name, value in (("base_model", wanted.base_model or wanted.start_from), ("data", wanted.data)):
        if not value:
            option = f"--{name.replace('_', '-')}"
            raise invalid(name, "MISSING", f"{option} is missing.", f"{option} を指定してください。")
    return client.training.spec(
        wanted.base_model,
        data_version(client, wanted.data, json_form=json_form),
        wanted.hyperparameters,
        eval_dataset_version=wanted.eval_data,
        model=wanted.model,
        sample_prompts=wanted.sample_prompts,
        processes=wanted.processes,
        start_from=wanted.start_from,
    )


def data_version(client: Client, data: str, *, json_form: bool) -> str:
    """The version to train on; a file of this machine is sent and checked first."""
    if not Path(data).expanduser().is_file():
        return data
    with TransferBars(quiet=json_form) as bars:
        version = client.datasets.upload(data, on_progress=bars.tell)
    if not json_form:
        render_report(client.datasets.report(version.name), notes())
    return version.name


def _see_through(client: Client, job: training_pb2.TrainingJob, output: str, *, json_form: bool) -> None:
    if json_form:
        ended = client.training.wait(job.name)
    else:
        notes().print(job.name, style="bold", markup=False)
        follow(client, job.name, json_form=False)
        ended = client.training.get(job.name)
    if output:
        with TransferBars(quiet=json_form) as bars:
            path = client.models.download(ended.model_version, output, on_progress=bars.tell)
        if not json_form:
            out().print(text(f"written to {path}", f"保存先: {path}"), markup=False)
    if json_form:
        print_json(as_json(ended))


def _render_started(job: training_pb2.TrainingJob) -> None:
    render_job(job)
    notes().print(
        text(f"Follow it with: aift jobs watch {job.name}", f"進捗を見るには: aift jobs watch {job.name}"), markup=False
    )


def _saved(found: training_pb2.TrainingPlan) -> str:
    if not found.HasField("padding_saved"):
        return text("not packed", "詰め込みなし")
    return text(f"{found.padding_saved:.0%} of padded batches", f"パディング付きバッチの {found.padding_saved:.0%}")


def _time(found: training_pb2.TrainingPlan) -> str:
    basis = localized(found.training_time_basis)
    return f"{in_time(found.training_time.seconds)} ({basis})" if found.HasField("training_time") else basis


def _render_plan(found: training_pb2.TrainingPlan) -> None:
    settings = as_settings(found.spec.hyperparameters)
    share = found.trainable_parameters / found.parameters if found.parameters else 0
    facts(
        [
            (text("base model", "ベースモデル"), found.spec.base_model),
            (text("data", "データ"), found.spec.dataset_version),
            (text("parameters", "パラメータ数"), f"{found.parameters:,}"),
            (text("trained", "学習対象"), f"{found.trainable_parameters:,} ({share:.1%})"),
            (
                text("rows", "行数"),
                text(
                    f"{found.train_rows:,} + {found.eval_rows:,} held out",
                    f"学習 {found.train_rows:,}・評価 {found.eval_rows:,}",
                ),
            ),
            (
                text("steps", "ステップ数"),
                text(
                    f"{found.steps:,} of {found.effective_batch_size:,} rows",
                    f"{found.steps:,}(1 ステップ {found.effective_batch_size:,} 行)",
                ),
            ),
            (text("tokens", "トークン数"), f"{found.tokens:,} ({localized(found.tokens_basis)})"),
            (text("padding saved", "省けるパディング"), _saved(found)),
            (text("time", "学習時間"), _time(found)),
            (text("memory", "メモリ"), in_bytes(found.memory_bytes)),
        ]
    )
    out().print(table(("", ""), ((f"  {part.part}", in_bytes(part.size_bytes)) for part in found.memory)))
    for fit in found.fits:
        verdict = text("fits", "収まります") if fit.fits else text("does not fit", "収まりません")
        out().print(f"{fit.worker}: {verdict} ({in_bytes(fit.available_bytes)})", style="green" if fit.fits else "red")
    for note in found.notes:
        out().print(f"- {localized(note)}", markup=False)
    for remedy in found.remedies:
        out().print(f"  {localized(remedy.message)}", markup=False)
    if found.remedies and found.remedies[-1].fits:
        out().print(text("  aift train --fit applies them.", "  aift train --fit で適用できます。"), markup=False)
    out().print(" ".join(f"{name}={brief(value)}" for name, value in settings.items()), style="dim", markup=False)
