"""aift tensorboard: TensorBoard over the jobs of all machines."""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from aift.boards import Boards
from aift.cli import session
from aift.cli.output import Json, notes, print_json
from aift.language import text


def tensorboard(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--logdir",
            help=text("Where the files go; default: a temporary folder.", "ファイルの保存先。省略時は一時フォルダ。"),
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help=text("To listen on.", "待ち受けるアドレス。"))] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 6006,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help=text("The newest so many.", "対象とする最新のジョブ数。"))
    ] = 50,
    write_only: Annotated[
        bool,
        typer.Option(
            "--write-only",
            help=text(
                "Write the files of jobs up to their ends, and start no TensorBoard.",
                "終了までのファイルを書き出すだけで、TensorBoard は起動しません。",
            ),
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Writes the files, keeps them fresh, and shows them."""
    with tempfile.TemporaryDirectory(prefix="aift-boards-") as temporary, session.client() as client:
        target = folder or Path(temporary)
        boards = Boards(client, target, most_jobs=jobs)
        followed = boards.look()
        if json:
            print_json({"logdir": str(target), "jobs": followed, "url": "" if write_only else f"http://{host}:{port}/"})
        if write_only:
            boards.finish()
            notes().print(text(f"written to {target}", f"保存先: {target}"), markup=False)
            return
        threading.Thread(target=boards.keep_looking, daemon=True).start()
        notes().print(
            text(
                f"TensorBoard: http://{host}:{port}/ (Ctrl-C ends it)",
                f"TensorBoard: http://{host}:{port}/ (Ctrl-C で終了)",
            )
        )
        try:
            raise typer.Exit(_serve(target, host, port))
        finally:
            boards.close()


def _serve(folder: Path, host: str, port: int) -> int:
    argv = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", host, "--port", str(port)]
    with subprocess.Popen([*argv, "--reload_interval", "5"]) as board:
        try:
            return board.wait()
        finally:
            board.terminate()
