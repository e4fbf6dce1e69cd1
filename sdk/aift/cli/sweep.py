"""aift sweep: several data sets or values in one command, as ordinary jobs under one name."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from aift.cli import session
from aift.cli.failures import FAILED
from aift.cli.output import Json, brief, notes, out, print_json, table
from aift.cli.train import data_version, spec_of
from aift.cli.training_display import state_word
from aift.cli.training_options import BaseModel, Config, EvalData, Preset, Set, described
from aift.client import Client
from aift.errors import AiftError, invalid
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
    points = list(itertools.product(data or [""], combinations(grid or ())))
    if len(points) > MOST_JOBS:
        raise _too_many(len(points))
    given = {"base_model": base_model, "eval_data": eval_data, "preset": preset}
    with session.client() as client:
        sent = {item: data_version(client, item, json_form=json) for item in data or ()}
        wanted = [
            described(
                {**given, "data": sent.get(item), "model": f"{label}-{number}"},
                settings,
                config=config,
                assignments=[*(assignments or ()), *values],
                rest=context.args,
            )
            for number, (item, values) in enumerate(points, 1)
        ]
        specs = [spec_of(client, one, json_form=json) for one in wanted]
        titles = [f"{label}: {', '.join(values) or one.data}" for (_, values), one in zip(points, wanted, strict=True)]
        _check(client, label, specs, titles)
        jobs = _start(client, label, specs, titles)
        ended = _wait(client, jobs) if wait else jobs
    if json:
        print_json([as_json(job) for job in ended])
    else:
        _render(label, ended)
    if wait and any(job.state != training_pb2.TRAINING_JOB_STATE_SUCCEEDED for job in ended):
        raise typer.Exit(FAILED)


def combinations(grid: Sequence[str]) -> list[tuple[str, ...]]:
    """All combinations of "name=a,b" as assignments "name=a"; one empty one without a grid. Raises AiftError."""
    axes: list[list[str]] = []
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
        axes.append([f"{name.strip()}={value}" for value in parts])
    return list(itertools.product(*axes))


def _too_many(count: int) -> AiftError:
    return invalid(
        "grid",
        "TOO_MANY_JOBS",
        f"This makes {count} jobs; at most {MOST_JOBS} are started at once.",
        f"{count} 件になります。一度に開始できるのは {MOST_JOBS} 件までです。",
    )


def _check(client: Client, label: str, specs: Sequence[training_pb2.TrainingSpec], titles: Sequence[str]) -> None:
    """Asks the service about every job before the first is started. Raises AiftError."""
    for spec, title in zip(specs, titles, strict=True):
        try:
            client.training.create(spec, display_name=title, sweep=label, validate_only=True)
        except AiftError:
            notes().print(
                text(
                    f"Nothing was started; refused: {title}", f"開始した学習はありません。受け付けられない設定: {title}"
                ),
                style="red",
                markup=False,
            )
            raise


def _start(
    client: Client, label: str, specs: Sequence[training_pb2.TrainingSpec], titles: Sequence[str]
) -> list[training_pb2.TrainingJob]:
    jobs: list[training_pb2.TrainingJob] = []
    try:
        for spec, title in zip(specs, titles, strict=True):
            jobs.append(client.training.create(spec, display_name=title, sweep=label))
    except AiftError:
        count = f"{len(jobs)}/{len(specs)}"
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
            job.display_name.partition(": ")[2],
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
