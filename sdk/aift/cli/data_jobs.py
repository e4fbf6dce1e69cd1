"""aift data jobs, watch, cancel: what the data service is at."""

from itertools import islice
from typing import Annotated

import typer

from aift.cli import session
from aift.cli.data_progress import followed
from aift.cli.output import Json, Limit, at, out, show, show_list, word
from aift.data.v1 import data_pb2
from aift.language import text

Job = Annotated[str, typer.Argument(help="dataJobs/x")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("jobs", help=text("Data jobs, newest first.", "データジョブの一覧(新しい順)。"))(list_jobs)
    app.command("watch", help=text("Wait for a data job.", "データジョブの終了を待ちます。"))(watch)
    app.command("cancel", help=text("Stop a data job.", "データジョブを中止します。"))(cancel)


def list_jobs(
    dataset: Annotated[str, typer.Option("--dataset", help=text("Only of this one.", "このデータセットだけ。"))] = "",
    limit: Limit = 50,
    json: Json = False,
) -> None:
    with session.client() as client:
        show_list(
            islice(client.datasets.jobs(dataset), limit),
            (
                text("name", "名前"),
                text("kind", "種類"),
                text("state", "状態"),
                text("data set", "データセット"),
                text("rows", "行"),
                text("asked for", "依頼"),
            ),
            lambda j: (j.name, _kind(j), _state(j), j.dataset, f"{j.rows:,}", at(j.create_time)),
            json_form=json,
        )


def watch(job: Job, json: Json = False) -> None:
    with session.client() as client:
        done = followed(client, client.datasets.job(job), json_form=json)
    show(done, lambda ended: out().print(ended.dataset_version, markup=False), json_form=json)


def cancel(job: Job, json: Json = False) -> None:
    with session.client() as client:
        show(client.datasets.cancel_job(job), lambda j: out().print(j.name, _state(j), markup=False), json_form=json)


def _kind(job: data_pb2.DataJob) -> str:
    return word(data_pb2.DataJobKind.Name(job.kind), "DATA_JOB_KIND_")


def _state(job: data_pb2.DataJob) -> str:
    return word(data_pb2.DataJobState.Name(job.state), "DATA_JOB_STATE_")
