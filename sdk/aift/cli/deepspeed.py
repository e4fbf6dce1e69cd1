"""aift deepspeed: DeepSpeed's configuration of a preset, and of hyperparameters on top of it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from aift.cli import session
from aift.cli.output import Json, notes, print_json
from aift.cli.training_options import described
from aift.jsonform import as_json
from aift.language import text
from aift.training_plans import MOST_PROCESSES


def deepspeed(
    context: typer.Context,
    settings: dict[str, object],
    preset: Annotated[
        str,
        typer.Argument(
            metavar="large|ultra-large",
            help=text(
                "large: ZeRO-2, optimizer in memory. ultra-large: ZeRO-3, weights too.",
                "large: ZeRO-2 でオプティマイザをメモリへ。ultra-large: ZeRO-3 で重みも。",
            ),
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", help=text("Write it there.", "このファイルに書き出します。")),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            "--processes", min=0, max=MOST_PROCESSES, help=text("That train together (1).", "並列プロセス数(1)。")
        ),
    ] = 0,
    nvme: Annotated[
        str,
        typer.Option(
            "--nvme",
            metavar="DIR",
            help=text(
                "ultra-large: offload to this directory instead of memory.",
                "ultra-large のオフロード先をメモリでなくこのディレクトリにします。",
            ),
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Prints the configuration, or writes it to a file."""
    asked = described({}, settings, config=None, assignments=(), rest=context.args).hyperparameters
    with session.client() as client:
        made = client.training.deepspeed_config(preset, asked, processes=processes, nvme_path=nvme)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(made.json, encoding="utf-8")
        notes().print(text(f"written to {output}", f"保存先: {output}"), markup=False)
    if json:
        print_json(as_json(made))
    elif output is None:
        sys.stdout.write(made.json)
