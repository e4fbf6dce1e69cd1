"""Preparing a file of this machine: the data service's own code as a process, no service running."""

import json
from pathlib import Path

from aift.cli.service_process import become
from aift.data.v1 import data_pb2
from aift.recipe import as_mapping

_MODULE = "services.data_service.local_preparation"


def prepare_file(
    source: Path,
    target: Path | None,
    recipe: data_pb2.Recipe,
    *,
    format_: str | None,
    encoding: str | None,
    validate: bool,
    json_form: bool,
) -> None:
    """Becomes the program that writes `target`, by default beside the source."""
    arguments = ["--input", str(source)]
    arguments += ["--output", str(target)] if target else []
    arguments += ["--format", format_] if format_ else []
    arguments += ["--encoding", encoding] if encoding else []
    arguments += ["--validate"] if validate else []
    arguments += ["--json"] if json_form else []
    become(_MODULE, [*arguments, "--recipe", json.dumps(as_mapping(recipe), ensure_ascii=False)])
