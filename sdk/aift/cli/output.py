"""What commands print: JSON for scripts, tables and plain lines for people."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from typing import Annotated, TypeVar

import typer
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from aift.jsonform import as_json
from aift.language import text

_PIPE_WIDTH = 400
Shown = TypeVar("Shown", bound=Message)
Json = Annotated[
    bool, typer.Option("--json", help=text("Print JSON, errors too.", "結果もエラーも JSON で出力します。"))
]
Limit = Annotated[int, typer.Option("--limit", min=1, help=text("Print at most this many.", "出力する件数の上限。"))]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help=text("Do not ask; in a script nothing is asked.", "確認せずに実行します(スクリプトでは確認しません)。"),
    ),
]


def out() -> Console:
    """Standard output, for results; in a pipe lines are as long as they are."""
    return Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def notes() -> Console:
    """Standard error, for progress and remarks, so that results can be piped."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def print_json_line(value: object) -> None:
    """One JSON document on one line, for streams of them."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show(message: Shown, render: Callable[[Shown], None], *, json_form: bool) -> None:
    """A resource, for scripts or for people."""
    if json_form:
        print_json(as_json(message))
    else:
        render(message)


def show_list(
    messages: Iterable[Shown], columns: Sequence[str], row: Callable[[Shown], Sequence[str]], *, json_form: bool
) -> None:
    """Resources, for scripts as an array, for people as a table."""
    if json_form:
        print_json([as_json(message) for message in messages])
        return
    rows = [row(message) for message in messages]
    if not rows:
        notes().print(text("There is none yet.", "まだありません。"))
        return
    out().print(table(columns, rows))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Text:
    """A plain table. Cells are taken literally and never broken, so that names can be copied and searched for."""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(columns))]
    aligned = ["  ".join(map(_padded, line, widths)).rstrip() for line in lines]
    headed = bool("".join(columns))
    return Text("\n").join(
        [Text(aligned[0], style="bold"), *map(Text, aligned[1:])] if headed else map(Text, aligned[1:])
    )


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Names with their values, one a line; those without a value are left out."""
    told = [(name, value) for name, value in pairs if value]
    width = max((cell_len(name) for name, _ in told), default=0)
    for name, value in told:
        out().print(Text.assemble((_padded(name, width), "dim"), "  ", value))


def _padded(words: str, width: int) -> str:
    return words + " " * (width - cell_len(words))


def confirm(what: str, *, yes: bool) -> None:
    """Asks a person before something is deleted; scripts are not asked. Ends the command at a no."""
    if yes or not sys.stdin.isatty():
        return
    typer.confirm(text(f"Delete {what}?", f"{what} を削除しますか。"), abort=True, err=True)


def at(time: Timestamp) -> str:
    """A moment in this machine's time zone, or "" when unset."""
    if not time.seconds:
        return ""
    return time.ToDatetime(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def in_bytes(count: float) -> str:
    """A number of bytes with the unit that fits."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def in_binary_bytes(count: float) -> str:
    """Memory as plans and GPUs are measured: "1.07 GiB", "25.8 GiB", "413 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if round(count) < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB" if count < 10 else f"{count:,.1f} GiB"


def in_time(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def brief(value: object) -> str:
    """A setting's value as people write it: 3 for 3.0, 0.002 for 2e-3."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def measurements(values: Mapping[str, float]) -> str:
    """Numbers by name: whole ones in full, such as tokens=149,100, others to four digits."""
    shown = {name: f"{v:,.0f}" if v.is_integer() else f"{v:.4g}" for name, v in sorted(values.items())}
    return " ".join(f"{name}={value}" for name, value in shown.items())


def word(enum_name: str, prefix: str) -> str:
    """An enum value as people write it: "TRAINING_JOB_STATE_RUNNING" is "running"."""
    return enum_name.removeprefix(prefix).lower()
