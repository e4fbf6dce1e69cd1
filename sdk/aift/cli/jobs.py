"""aift jobs …: training jobs, watched and steered."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated

import typer

from aift.cli import session
from aift.cli.output import (
    Json,
    Limit,
    Yes,
    at,
    brief,
    confirm,
    facts,
    in_time,
    measurements,
    notes,
    out,
    print_json,
    print_json_line,
    show,
    show_list,
)
from aift.cli.training_display import TrainingDisplay, state_word
from aift.client import Client
from aift.errors import AiftError, invalid
from aift.hyperparameters import as_settings
from aift.jobs import TrainingError
from aift.jsonform import as_json
from aift.language import localized, text
from aift.training.v1 import training_pb2

app = typer.Typer(no_args_is_help=True, help=text("Training jobs.", "学習ジョブ。"))

Job = Annotated[str, typer.Argument(help="trainingJobs/x")]
_PREFIX = "TRAINING_JOB_STATE_"


@app.command("list", help=text("Jobs, newest first.", "ジョブの一覧(新しい順)。"))
def list_jobs(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help=text("Only these, such as running.", "この状態だけ(例: running)。")),
    ] = None,
    sweep: Annotated[
        str, typer.Option("--sweep", help=text("Only those of this sweep.", "このスイープのジョブだけ。"))
    ] = "",
    limit: Limit = 50,
    json: Json = False,
) -> None:
    with session.client() as client:
        show_list(
            islice(client.training.list(states=[_state(word) for word in state or []], sweep=sweep), limit),
            (
                text("name", "名前"),
                text("state", "状態"),
                text("step", "ステップ"),
                text("base model", "ベースモデル"),
                text("result", "結果"),
                text("made", "作成"),
            ),
            lambda j: (
                j.name,
                state_word(j.state),
                f"{j.progress.step:,}/{j.progress.total_steps:,}" if j.progress.total_steps else "",
                j.spec.base_model,
                j.model_version or j.failure.reason,
                at(j.create_time),
            ),
            json_form=json,
        )


@app.command("show", help=text("One job.", "ジョブの詳細。"))
def show_job(job: Job, json: Json = False) -> None:
    with session.client() as client:
        show(client.training.get(job), render_job, json_form=json)


@app.command(
    help=text(
        "Follow a job until it ends; Ctrl-C leaves it running.",
        "終わるまで進捗を表示します。Ctrl-C で表示だけ終了します。",
    )
)
def watch(
    job: Job,
    after: Annotated[
        int,
        typer.Option("--after", min=0, help=text("Only events after this sequence.", "この番号より後のイベントだけ。")),
    ] = 0,
    json: Json = False,
) -> None:
    with session.client() as client:
        follow(client, job, after=after, json_form=json)


@app.command(help=text("The trainer's log.", "学習のログ。"))
def logs(
    job: Job,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help=text("Go on until it ends.", "終わるまで続けて表示します。"))
    ] = False,
    json: Json = False,
) -> None:
    with session.client() as client:
        for line in client.training.logs(job, follow=follow):
            if json:
                print_json_line({"line": line})
            else:
                out().print(line, markup=False)


@app.command(help=text("Save a checkpoint and free the hardware.", "チェックポイントを保存して一時停止します。"))
def pause(job: Job, json: Json = False) -> None:
    _steer(lambda client: client.training.pause(job), json_form=json)


@app.command(help=text("Go on with a paused job.", "一時停止したジョブを再開します。"))
def resume(job: Job, json: Json = False) -> None:
    _steer(lambda client: client.training.resume(job), json_form=json)


@app.command(help=text("End a job without a model.", "モデルを作らずに中止します。"))
def cancel(job: Job, json: Json = False) -> None:
    _steer(lambda client: client.training.cancel(job), json_form=json)


@app.command(
    help=text("Delete a job that has ended; its model stays.", "終了したジョブを削除します(モデルは残ります)。")
)
def delete(job: Job, yes: Yes = False, json: Json = False) -> None:
    confirm(job, yes=yes or json)
    with session.client() as client:
        client.training.delete(job)
    if json:
        print_json({"deleted": job})


def follow(client: Client, job: str, *, after: int = 0, json_form: bool) -> None:
    """Shows a job until it ends, as bar or as JSON lines. Raises TrainingError when it made no model."""
    try:
        if json_form:
            for event in client.training.watch(job, after_sequence=after):
                print_json_line(as_json(event))
        else:
            _display(client, job, after)
    except KeyboardInterrupt:
        notes().print(
            text(
                f"The job goes on. Come back with: aift jobs watch {job}",
                f"ジョブは続いています。表示に戻るには: aift jobs watch {job}",
            ),
            markup=False,
        )
        raise
    ended = client.training.get(job)
    if ended.state != training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
        raise TrainingError.of(ended)
    if not json_form:
        render_job(ended)


def render_job(job: training_pb2.TrainingJob) -> None:
    """A job as people read it."""
    spent = job.end_time.seconds - job.start_time.seconds if job.start_time.seconds and job.end_time.seconds else 0
    settings = " ".join(f"{name}={brief(value)}" for name, value in as_settings(job.spec.hyperparameters).items())
    facts(
        [
            (text("name", "名前"), job.name),
            (text("display name", "表示名"), job.display_name),
            (text("state", "状態"), state_word(job.state)),
            (
                text("failure", "失敗の理由"),
                f"{job.failure.reason}: {localized(job.failure.message)}" if job.failure.reason else "",
            ),
            (text("base model", "ベースモデル"), job.spec.base_model),
            (text("data", "データ"), job.spec.dataset_version),
            (text("settings", "設定"), settings),
            (text("metrics", "評価値"), measurements(job.metrics)),
            (text("model", "モデル"), job.model_version),
            (text("made", "作成"), at(job.create_time)),
            (text("time taken", "所要時間"), in_time(spent) if spent else ""),
        ]
    )
    for note in job.notes:
        out().print(f"- {localized(note)}", markup=False)


def _display(client: Client, job: str, after: int) -> None:
    console = notes()

    def lost(error: AiftError) -> None:
        console.print(text("connection lost, trying again …", "接続が切れました。再接続しています…"), style="yellow")

    with TrainingDisplay(console) as display:
        for event in client.training.watch(job, after_sequence=after, on_reconnect=lost):
            display.show(event)


def _steer(action: Callable[[Client], training_pb2.TrainingJob], *, json_form: bool) -> None:
    with session.client() as client:
        show(action(client), lambda job: out().print(f"{job.name}: {state_word(job.state)}"), json_form=json_form)


def _state(word: str) -> training_pb2.TrainingJobState.ValueType:
    known: Sequence[str] = [name.removeprefix(_PREFIX).lower() for name in training_pb2.TrainingJobState.keys()[1:]]
    if word.lower() not in known:
        names = ", ".join(known)
        raise invalid(
            "state", "UNKNOWN_VALUE", f"There is no state {word!r}: {names}", f"状態 {word!r} はありません: {names}"
        )
    return training_pb2.TrainingJobState.Value(_PREFIX + word.upper())
