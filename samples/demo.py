"""`make demo`: the main job once, from a file to a model that answers, through the public API only.

Starts everything on this machine under build/demo, takes in the small model that is shipped, uploads and checks
data, fine-tunes, registers, and asks the model before and after the same questions. Leaves no process behind.
"""

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from aift import AiftError
from aift.cli.output import in_time
from aift.data.v1 import data_pb2
from aift.language import text
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2
from rich.console import Console

from samples.demo_answers import read_questions
from samples.demo_steps import HELD_OUT_DATA, Demo, cancel_leftovers, print_paragraph
from samples.demo_system import DemoSystem, DemoSystemError, explain

STATE = Path(__file__).resolve().parents[1] / "build" / "demo"


def run(console: Console) -> None:
    """The whole demonstration."""
    begin = time.monotonic()
    console.rule("AIFT")
    print_paragraph(
        console,
        text(
            "AIFT fine-tunes Japanese language models on your own machines. This is the whole of it, once, on a "
            "tiny model: data in, training, a registered model, answers before and after.",
            "AIFT は日本語の大規模言語モデルを自分のマシンでファインチューニングします。ここでは小さなモデルを使い、"
            "データの投入、学習、モデルの登録、学習前後の回答までをひととおり行います。",
        ),
    )
    console.print()
    console.print(
        text(
            "Starting PostgreSQL, four services and a worker …", "PostgreSQL、4 つのサービス、ワーカーを起動しています…"
        )
    )
    system = DemoSystem(STATE)
    with ExitStack() as until_the_end:
        with console.status(text("waiting until all are healthy", "準備ができるのを待っています")):
            until_the_end.enter_context(system)
        console.print(
            text(
                f"All healthy after {system.seconds_to_healthy:.1f} s.",
                f"起動完了({system.seconds_to_healthy:.1f} 秒)。",
            ),
            style="green",
        )
        with system.client() as client:
            cancel_leftovers(client)
            demo = Demo(client, console)
            base = demo.base_model()
            data = demo.data()
            spec = demo.plan(base, data)
            job = demo.train(spec)
            version = demo.registered(job)
            before, after = demo.compare(version)
            demo.verdict(job, before, after)
    _summarise(console, data, job, version)
    spent = in_time(time.monotonic() - begin)
    console.print(text(f"\nEverything is stopped again. {spent} in all.", f"\nすべて停止しました。全体で {spent}。"))


def _summarise(
    console: Console,
    data: data_pb2.DatasetVersion,
    job: training_pb2.TrainingJob,
    version: registry_pb2.ModelVersion,
) -> None:
    """What was made, where it lies, and what to type next; lines are not wrapped, so that they can be copied."""
    aift = _short(Path(sys.executable).parent / "aift")
    question = read_questions(HELD_OUT_DATA, 1)[0].question
    keep_running = text("keep it running; the rest in another terminal", "起動し続ける。以下は別の端末で")
    console.print()
    console.rule(text("Done", "完了"))
    console.print(text("What was made", "作成されたもの"), style="bold")
    for name in (data.name, job.name, version.name):
        console.print(f"  {name}", soft_wrap=True, markup=False)
    console.print(text("Where it lies", "保存場所"), style="bold")
    console.print(f"  {_short(STATE)}", soft_wrap=True, markup=False)
    console.print(text("What to type next", "次に試すコマンド"), style="bold")
    for line in (
        f"export AIFT_STATE_DIR={_short(STATE)}",
        f"{aift} up    # {keep_running}",
        f"{aift} generate {version.name} --base-and-tuned '{question}'",
        f"{aift} models lineage {version.name}",
        f"{aift} train --help",
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _terminate(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Entry point; the exit code is 0 when everything worked, 130 when it was interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    console = Console(highlight=False)
    try:
        run(console)
    except (AiftError, DemoSystemError) as error:
        console.print(f"\n{text('The demo failed:', 'デモは失敗しました:')}", style="bold red", end=" ")
        console.print(explain(error, STATE), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print(text("\nInterrupted; everything is stopped.", "\n中断しました。すべて停止しました。"))
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
