"""How a command ends when it could not do its work: message and exit code."""

import sys

import grpc
import typer

from aift.cli.output import notes, print_json
from aift.cli.report import render_report
from aift.cli.usage_words import japanese
from aift.datasets import InvalidDataError
from aift.errors import AiftError
from aift.jsonform import as_json
from aift.language import language, text

FAILED = 1
USAGE = 2
NOT_FOUND = 3
DENIED = 4
UNAVAILABLE = 5
INTERRUPTED = 130

_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: USAGE,
    grpc.StatusCode.OUT_OF_RANGE: USAGE,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED: DENIED,
    grpc.StatusCode.PERMISSION_DENIED: DENIED,
    grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNAVAILABLE,
}
# Whatever click this typer stands on: its own or the package.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def report_failure(error: AiftError, *, json_form: bool) -> int:
    """Says what failed and gives the exit code."""
    if json_form:
        body = error.as_dict()
        if isinstance(error, InvalidDataError):
            body["report"] = as_json(error.report)
        print_json({"error": body})
    else:
        if isinstance(error, InvalidDataError):
            render_report(error.report, notes())
        _say(error)
    return _CODES.get(error.code, FAILED)


def report_usage(error: Exception, *, json_form: bool) -> int:
    """Says which argument is wrong, in English as typer words it, and gives the exit code."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    ja = japanese(message)
    if json_form:
        body = AiftError("USAGE", grpc.StatusCode.INVALID_ARGUMENT, message, ja or message).as_dict()
        print_json({"error": body})
    elif ja and language() == "ja":
        _say_usage(ja, getattr(error, "ctx", None))
    elif hasattr(error, "show"):
        error.show(file=sys.stderr)
    return USAGE


def _say_usage(message: str, context: typer.Context | None) -> None:
    console = notes()
    console.print("エラー:", style="bold red", end=" ")
    console.print(message, markup=False)
    if context is not None:
        console.print(f"  使い方を見るには: {context.command_path} --help", style="dim", markup=False)


def _say(error: AiftError) -> None:
    console = notes()
    console.print(text("Error:", "エラー:"), style="bold red", end=" ")
    console.print(error.message, markup=False)
    shown = [v for v in error.violations if v.message != error.message]
    for violation in shown:
        console.print(f"  {violation.field}: {violation.message}", markup=False)
    hidden = int(error.metadata.get("violations_total", "0")) - len(error.violations)
    if hidden > 0:
        console.print(text(f"  … and {hidden} more", f"  … ほか {hidden} 件"))
    trace = f" · request {error.request_id}" if error.request_id else ""
    console.print(f"  {error.reason}{trace}", style="dim", markup=False)
