"""The whole command: its nouns, its common options, and how it ends."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from aift.cli import base_models, data, embedded, jobs, models, session
from aift.cli.deepspeed import deepspeed
from aift.cli.failures import FAILED, INTERRUPTED, UsageError, report_failure, report_usage
from aift.cli.generate import generate
from aift.cli.sweep import sweep
from aift.cli.tensorboard import tensorboard
from aift.cli.train import plan, train
from aift.cli.training_options import ANY_NAME, with_hyperparameters
from aift.errors import AiftError
from aift.language import text

app = typer.Typer(
    name="aift",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help=text(
        "Fine-tune Japanese language models on your own machines.",
        "日本語の大規模言語モデルを自分のマシンでファインチューニングします。",
    ),
)
embedded.add_to(app)
app.add_typer(data.app, name="data")
app.command(
    "plan", help=text("What a training would take.", "学習に必要なものを見積もります。"), context_settings=ANY_NAME
)(with_hyperparameters(plan))
app.command("train", help=text("Start a training.", "学習を開始します。"), context_settings=ANY_NAME)(
    with_hyperparameters(train)
)
app.command(
    "sweep",
    help=text("Start a training for each data set and value.", "データや値ごとに学習をまとめて開始します。"),
    context_settings=ANY_NAME,
)(with_hyperparameters(sweep))
app.command(
    "deepspeed",
    help=text("DeepSpeed's configuration of a preset.", "DeepSpeed の設定ファイルを作ります。"),
    context_settings=ANY_NAME,
)(with_hyperparameters(deepspeed))
app.command("tensorboard", help=text("TensorBoard of all jobs.", "全ジョブの TensorBoard を表示します。"))(tensorboard)
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(base_models.app, name="base-models")
app.command("generate", help=text("Let a model answer.", "モデルに文章を生成させます。"))(generate)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(version("aift") + "\n")
        raise typer.Exit


@app.callback()
def root(
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir", help=text("Of the embedded system to speak to.", "対象とする AIFT の状態ディレクトリ。")
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help=text("Print it.", "バージョンを表示します。")
        ),
    ] = False,
) -> None:
    session.use_state_dir(state_dir)


def run(arguments: list[str]) -> int:
    """Runs the command and gives its exit code.

    0 done, 1 failed, 2 wrong usage or argument, 3 not found, 4 not allowed, 5 unavailable, 130 interrupted.
    """
    json_form = "--json" in arguments
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="aift", standalone_mode=False)
    except AiftError as error:
        return report_failure(error, json_form=json_form)
    except UsageError as error:
        return report_usage(error, json_form=json_form)
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        return FAILED
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the `aift` command."""
    sys.exit(run(sys.argv[1:]))
