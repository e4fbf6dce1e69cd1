"""up, down, status, logs, doctor, token: handed on to the embedded supervisor as they are."""

from collections.abc import Callable

import typer

from aift.cli.jobs import logs as job_logs
from aift.cli.service_process import become
from aift.language import text

_AS_THEY_ARE = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
COMMANDS = {
    "up": ("Start everything on this machine and keep it running.", "このマシンで全体を起動し、動かし続けます。"),
    "down": ("Stop what `aift up` started.", "`aift up` で起動したものを停止します。"),
    "status": ("What runs, and how it is.", "動いているものと状態を表示します。"),
    "logs": (
        "The log of a service, or of a job (trainingJobs/…).",
        "サービスまたはジョブ(trainingJobs/…)のログを表示します。",
    ),
    "doctor": ("What this machine has and what it lacks.", "このマシンに何があり、何が足りないかを調べます。"),
    "token": ("Make, list or revoke access tokens.", "アクセストークンを発行・一覧・失効します。"),
}

_PANEL = text("This machine", "このマシン")


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for name, help_text in COMMANDS.items():
        app.command(name, help=text(*help_text), context_settings=_AS_THEY_ARE, rich_help_panel=_PANEL)(_command(name))


def run_embedded(name: str, arguments: list[str]) -> None:
    """Becomes the supervisor's command."""
    become("services.embedded", [name, *arguments])


def _command(name: str) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        arguments = list(context.args)
        if name == "logs" and arguments and arguments[0].startswith("trainingJobs/"):
            job_logs(arguments[0], follow=bool({"-f", "--follow"} & set(arguments)), json="--json" in arguments)
        else:
            run_embedded(name, arguments)

    return run
