"""aift sweep: several data sets or values in one command, as ordinary jobs under one name."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from aift.cli import session
from aift.cli.failures import FAILED
from aift.cli.output import Json, brief, notes, out, print_json, table
from aift.cli.train import data_version, spec_of
from aift.cli.training_display import state_word
from aift.cli.training_options import BaseModel, Config, EvalData, Preset, Set, described, named
from aift.client import Client
from aift.errors import AiftError, invalid
from aift.job_file import TrainingFile, target_of
from aift.jobs import ENDED
from aift.jsonform import as_json
from aift.language import text
from aift.training.v1 import training_pb2

MOST_JOBS = 100


def sweep(
    context: typer.Context,
    settings: dict[str, object],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help=text("A data set or file; repeatable.", "データセットまたはファイル。複数指定可。"),
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar=text("NAME=A,B,…", "項目=値,値,…"),
            help=text("Values to try; repeatable, all combinations.", "試す値。複数指定時は全ての組み合わせ。"),
        ),
    ] = None,
    base_model: BaseModel = None,
    eval_data: EvalData = None,
    preset: Preset = None,
    config: Config = None,
    assignments: Set = None,
    name: Annotated[
        str, typer.Option("--name", help=text("Of the sweep; default: by time.", "スイープの名前。省略時は日時。"))
    ] = "",
    wait: Annotated[
        bool,
        typer.Option("--wait", help=text("Until all have ended.", "全て終わるまで待ちます。")),
    ] = False,
    json: Json = False,
) -> None:
    """Starts a job for each data set and combination of values."""
    label = name or f"sweep-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    given = {"base_model": base_model, "eval_data": eval_data, "preset": preset, "data": data}
    fixed = {*(key for key, value in given.items() if value), *settings, *named(assignments or (), context.args)}
    axes = axes_of(grid or (), fixed)
    points = list(itertools.product(data or [""], itertools.product(*axes)))
    if len(points) > MOST_JOBS:
        raise _too_many(len(points))
    with session.client() as client:
        wanted = [
            described(
                {**given, "data": item},
                settings,
                config=config,
                assignments=[*(assignments or ()), *values],
                rest=context.args,
            )
            for item, values in points
        ]
        wanted = [_of_sweep(one, f"{label}-{number}") for number, one in enumerate(wanted, 1)]
        wanted = _sent(client, wanted, json_form=json)
        wait = wait or any(one.wait for one in wanted)
        asked = [
            {
                "spec": _spec_of(client, one, json_form=json),
                "display_name": f"{one.display_name or label}: {', '.join(values) or one.data}",
                "priority": one.priority,
                "sweep": label,
            }
            for (_, values), one in zip(points, wanted, strict=True)
        ]
        _check(client, asked)
        jobs = _start(client, label, asked)
        ended = _wait(client, jobs) if wait else jobs
    if json:
        print_json([as_json(job) for job in ended])
    else:
        _render(label, ended)
    if wait and any(job.state != training_pb2.TRAINING_JOB_STATE_SUCCEEDED for job in ended):
        raise typer.Exit(FAILED)


def axes_of(grid: Sequence[str], fixed: Collection[str]) -> list[list[str]]:
    """Each "name=a,b" as assignments "name=a"; `fixed` are names that the command gives besides. Raises AiftError."""
    axes: list[list[str]] = []
    taken = {target_of(name) for name in fixed}
    for entry in grid:
        name, separator, values = entry.partition("=")
        parts = [value.strip() for value in values.split(",") if value.strip()]
        if not separator or not name.strip() or not parts:
            raise invalid(
                "grid",
                "INVALID_GRID",
                f"{entry!r} is not NAME=A,B,…, such as lora_r=8,16.",
                f"{entry!r} は lora_r=8,16 の形ではありません。",
            )
        if target_of(name) in taken:
            raise invalid(
                "grid",
                "NAMED_TWICE",
                f"--grid {entry} gives values to {target_of(name)}, which this command names elsewhere too; name it once.",
                f"--grid {entry} の {target_of(name)} は他でも指定されています。どちらか一方にしてください。",
            )
        taken.add(target_of(name))
        axes.append([f"{name.strip()}={value}" for value in parts])
    return axes


def _of_sweep(one: TrainingFile, model: str) -> TrainingFile:
    """A training of a sweep; where no model is named, one of its own. Raises AiftError for what only one can have."""
    if one.job_id:
        raise invalid(
            "job_id",
            "NOT_IN_A_SWEEP",
            f"job_id is {one.job_id!r}, but a sweep starts several jobs; leave it out and name the sweep with --name.",
            f"job_id に {one.job_id!r} が指定されていますが、スイープは複数のジョブを開始します。job_id を外し、"
            "スイープの名前は --name で指定してください。",
        )
    if one.output:
        raise invalid(
            "output",
            "NOT_IN_A_SWEEP",
            f"output is {one.output!r}, but a sweep makes several results; leave it out, and write those that you want "
            "with aift models download.",
            f"output に {one.output!r} が指定されていますが、スイープの結果は複数です。output を外し、必要な結果を "
            "aift models download で保存してください。",
        )
    return replace(one, model=one.model or model)


def _spec_of(client: Client, one: TrainingFile, *, json_form: bool) -> training_pb2.TrainingSpec:
    spec = spec_of(client, one, json_form=json_form)
    return client.training.fitted(spec) if one.fit else spec


def _too_many(count: int) -> AiftError:
    return invalid(
        "grid",
        "TOO_MANY_JOBS",
        f"This makes {count} jobs; at most {MOST_JOBS} are started at once.",
        f"{count} 件になります。一度に開始できるのは {MOST_JOBS} 件までです。",
    )


def _sent(client: Client, wanted: Sequence[TrainingFile], *, json_form: bool) -> list[TrainingFile]:
    """The trainings with the names of their data; a file of this machine is sent once for all."""
    versions: dict[str, str] = {}
    for one in wanted:
        for option, data in (("--data", one.data), ("--eval-data", one.eval_data)):
            if data not in versions:
                versions[data] = data_version(client, data, option=option, json_form=json_form)
    return [replace(one, data=versions[one.data], eval_data=versions[one.eval_data]) for one in wanted]


def _check(client: Client, asked: Sequence[Mapping[str, Any]]) -> None:
    """Asks the service about every job before the first is started. Raises AiftError."""
    for one in asked:
        try:
            client.training.create(**one, validate_only=True)
        except AiftError:
            refused = one["display_name"]
            told = text(
                f"Nothing was started; refused: {refused}", f"何も開始していません。受け付けられない設定: {refused}"
            )
            notes().print(told, style="red", markup=False)
            raise


def _start(client: Client, label: str, asked: Sequence[Mapping[str, Any]]) -> list[training_pb2.TrainingJob]:
    jobs: list[training_pb2.TrainingJob] = []
    try:
        for one in asked:
            jobs += [client.training.create(**one)]
    except AiftError:
        count = f"{len(jobs)}/{len(asked)}"
        notes().print(text(f"{count} jobs of {label} were started", f"{label}: {count} 件を開始しました"), style="red")
        raise
    return jobs


def _wait(client: Client, jobs: Sequence[training_pb2.TrainingJob]) -> list[training_pb2.TrainingJob]:
    for job in jobs:
        if job.state not in ENDED:
            try:
                client.training.wait(job.name)
            except AiftError as error:  # the table tells which; the others go on
                notes().print(f"{job.name}: {error}", style="red", markup=False)
    return [client.training.get(job.name) for job in jobs]


def _render(label: str, jobs: Sequence[training_pb2.TrainingJob]) -> None:
    out().print(text(f"sweep {label}: {len(jobs)} jobs", f"スイープ {label}: {len(jobs)} 件"), style="bold")
    rows = (
        (
            job.name,
            job.display_name.rpartition(": ")[2],
            state_word(job.state),
            brief(job.metrics["eval_loss"]) if "eval_loss" in job.metrics else "",
            job.model_version,
        )
        for job in jobs
    )
    heads = (text("job", "ジョブ"), text("values", "値"), text("state", "状態"), "eval_loss", text("model", "モデル"))
    out().print(table(heads, rows))
    notes().print(
        text(f"See them with: aift jobs list --sweep {label}", f"一覧: aift jobs list --sweep {label}"), markup=False
    )
