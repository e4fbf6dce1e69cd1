"""aift plan and aift train: what a training takes, and the training itself."""

import re
from pathlib import Path
from typing import Annotated

import typer

from aift.cli import session
from aift.cli.jobs import follow, render_job
from aift.cli.output import Json, notes, out, print_json, show
from aift.cli.plan_display import render_plan
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
from aift.job_file import TrainingFile
from aift.jsonform import as_json
from aift.language import text
from aift.model_files import check_room
from aift.training.v1 import training_pb2
from aift.training_plans import MOST_PROCESSES

# A data set, with or without its version, or none. All else is a file.
_NAME = re.compile(r"(datasets/)?[a-z0-9-]*(/versions/[0-9]+)?")


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
            "--processes",
            min=0,
            max=MOST_PROCESSES,
            help=text("That train together; 0: one a GPU.", "並列プロセス数。0 は GPU 数。"),
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
        show(client.training.plan(spec, gpu=gpu), render_plan, json_form=json)


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
            "--processes",
            min=0,
            max=MOST_PROCESSES,
            help=text("That train together; 0: one a GPU.", "並列プロセス数。0 は GPU 数。"),
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
        "priority": priority,
        "job_id": job_id,
        "wait": wait,
        "fit": fit,
    }
    wanted = described(given, settings, config=config, assignments=assignments or (), rest=context.args)
    if wanted.output:
        check_room(Path(wanted.output))  # not only when the training is over
    with session.client() as client:
        spec = spec_of(client, wanted, json_form=json)
        spec = client.training.fitted(spec) if wanted.fit else spec
        job = client.training.create(
            spec, job_id=wanted.job_id, display_name=wanted.display_name, priority=wanted.priority
        )
        if wanted.wait or wanted.output:
            _see_through(client, job, wanted.output, json_form=json)
        else:
            show(job, _render_started, json_form=json)


def spec_of(client: Client, wanted: TrainingFile, *, json_form: bool) -> training_pb2.TrainingSpec:
    """The spec of a description; files of this machine are sent first. Raises AiftError, MISSING among them."""
    for name, value in (("base_model", wanted.base_model or wanted.start_from), ("data", wanted.data)):
        if not value:
            option = f"--{name.replace('_', '-')}"
            raise invalid(name, "MISSING", f"{option} is missing.", f"{option} を指定してください。")
    return client.training.spec(
        wanted.base_model,
        data_version(client, wanted.data, option="--data", json_form=json_form),
        wanted.hyperparameters,
        eval_dataset_version=data_version(client, wanted.eval_data, option="--eval-data", json_form=json_form),
        model=wanted.model,
        sample_prompts=wanted.sample_prompts,
        processes=wanted.processes,
        start_from=wanted.start_from,
    )


def data_version(client: Client, data: str, *, option: str, json_form: bool) -> str:
    """The version that an option names; a file of this machine is sent and checked first. Raises AiftError FILE_NOT_FOUND
    for what is neither a file nor a data set's name."""
    if not Path(data).expanduser().is_file():
        if _NAME.fullmatch(data):
            return data
        raise invalid(
            option.removeprefix("--").replace("-", "_"),
            "FILE_NOT_FOUND",
            f"{option}: there is no file {data}; name one that is there, or a data set (datasets/x).",
            f"{option}: ファイル {data} がありません。存在するファイルか、データセット (datasets/x) を指定してください。",
        )
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
