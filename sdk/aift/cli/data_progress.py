"""Transfers and data jobs on their way: bars, and how to go on after an interruption."""

import shlex
from pathlib import Path

from aift.cli.output import notes
from aift.cli.transfers import TransferBars
from aift.client import Client
from aift.data.v1 import data_pb2
from aift.language import text


def send(client: Client, file: Path, *, resume: str | None = None, json_form: bool) -> data_pb2.Upload:
    """Sends a file with a bar; when interrupted, says how to go on."""
    begun: list[data_pb2.Upload] = []
    try:
        with TransferBars(quiet=json_form) as bars:
            return client.uploads.send(file, resume=resume, on_progress=bars.tell, on_created=begun.append)
    except KeyboardInterrupt:
        if begun:
            again = f"aift data upload {shlex.quote(str(file))} --resume {begun[0].name}"
            notes().print(text(f"Interrupted. Go on with: {again}", f"中断しました。続けるには: {again}"), markup=False)
        raise


def followed(client: Client, job: data_pb2.DataJob, *, json_form: bool) -> data_pb2.DataJob:
    """Waits for a data job with bars; when interrupted, says how to return to it."""
    try:
        with TransferBars(quiet=json_form) as bars:
            return client.datasets.wait(job.name, on_progress=bars.tell)
    except KeyboardInterrupt:
        notes().print(
            text(
                f"It goes on. Return to it: aift data watch {job.name} · stop it: aift data cancel {job.name}",
                f"処理は続いています。待つには: aift data watch {job.name} · 中止するには: aift data cancel {job.name}",
            ),
            markup=False,
        )
        raise
