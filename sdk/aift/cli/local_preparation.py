"""Preparing a file of this machine: the data service's own code as a process, no service running."""

import json
from pathlib import Path

from aift.cli.service_process import become
from aift.data.v1 import data_pb2
from aift.reading import Reading
from aift.recipe import as_mapping

_MODULE = "services.data_service.local_preparation"


def prepare_file(
    source: Path,
    target: Path | None,
    recipe: data_pb2.Recipe,
    reading: Reading,
    *,
    validate: bool,
    json_form: bool,
) -> None:
    """Becomes the program that writes `target`, by default beside the source."""
    arguments = ["--input", str(source)]
    arguments += ["--output", str(target)] if target else []
    for flag, word in (
        ("format", reading["format"]),
        ("encoding", reading["encoding"]),
        ("bad-rows", reading["bad_rows"]),
    ):
        arguments += [f"--{flag}", word] if word else []
    for field, column in (reading["columns"] or {}).items():
        arguments += ["--column", f"{field}={column}"]
    arguments += ["--validate"] if validate else []
    arguments += ["--json"] if json_form else []
    become(_MODULE, [*arguments, "--recipe", json.dumps(as_mapping(recipe), ensure_ascii=False)])
