"""`python -m services.data_service.local_preparation`: a file of this machine into rows to train on, without a service.

    --input FILE      JSONL, JSON, CSV, TSV, Parquet (also in gzip or zstd), or plain text
    --output FILE     JSONL; default: the input's name with .jsonl, or with .prepared.jsonl where that is the input.
                      Rows that a split holds out go beside it, with -validation and -test in the name.
    --format FORMAT   how the input is written: jsonl, json, csv, tsv, parquet, text; default: by its content and name.
                      `text` for a file of JSON rows means that the result shall have rows of text.
    --encoding NAME   cp932 or euc-jp; default: UTF-8, or UTF-16 where a byte order mark says so
    --column F=C      which column holds a field of the form, such as instruction=質問; may be repeated
    --bad-rows WORD   refuse (default): rows with errors refuse the file; set-aside: they go into a file of their own
                      beside the output, with -set-aside in its name
    --recipe JSON     what is done, as aift.recipe reads it; default: nothing but reading the input into rows
    --validate        checks the result, and prints the report
    --json            one JSON on standard output: {input, output, rows, form, steps, report, error}

A text with known markers at the beginning of lines (質問: / 回答:, 指示: / 応答:, 入力: / 出力:, Q: / A:, also as headings
such as `### 指示:`) becomes rows of instruction and response; any other is cut into pieces of the recipe's chunking,
else of 1000 characters, for continued pretraining. The result appears whole or not at all.

Exit status: 0 done, 1 the data have errors or do not fit the recipe, 2 wrong usage. Messages are in Japanese or
English, by AIFT_LANG or the locale.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from aift.data.v1 import data_pb2
from aift.errors import AiftError
from aift.reading import Reading, columns_of, read_options
from aift.recipe import recipe_of

from services.core.errors import DomainError, InvalidArgument
from services.data_service import job_request, recipe_message
from services.data_service.child import Progress
from services.data_service.domain import ROWS_PATH, SET_ASIDE_PATH, FileFormat, ReadOptions, RowForm, ToolTurns
from services.data_service.errors import PREPARATION_FAILURES
from services.data_service.local_input import Input, read_input
from services.data_service.local_output import FileTrouble, show, show_failure
from services.data_service.preparation.conversion import impossible
from services.data_service.preparation.preparation import prepare
from services.data_service.preparation.request import ROW_FILES, PreparationRequest, PreparationResult
from services.data_service.preparation.rows import Shape
from services.data_service.preparation.splitting import Side
from services.data_service.recipe import Recipe
from services.data_service.report import Report
from services.data_service.validation.request import ValidationRequest
from services.data_service.validation.validator import validate


class Refused(Exception):
    """The input has errors."""

    def __init__(self, report: Report) -> None:
        super().__init__("the input has errors")
        self.report = report


def main(arguments: Sequence[str]) -> int:
    """Runs the command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        recipe, read = _recipe(options.recipe), _read(options)
        output = options.output or _beside(options.input)
        if not options.input.is_file():
            raise _usage(f"There is no file {options.input}.", f"ファイル {options.input} がありません。")
        if output.exists() and output.samefile(options.input):
            raise _usage("--output is the input itself.", "--output が入力と同じファイルです。")
        if not output.parent.is_dir():
            raise _usage(f"There is no folder {output.parent}.", f"フォルダ {output.parent} がありません。")
    except (AiftError, InvalidArgument) as error:
        return _failed(error, options, 2)
    try:
        with tempfile.TemporaryDirectory(prefix="aift-prepare-") as folder:
            return _run(options, recipe, read, output, Path(folder))
    except Refused as refused:
        return _failed(refused.report.error(), options, 1, refused.report)
    except DomainError as error:
        return _failed(error, options, 1)
    except OSError as error:
        return _failed(FileTrouble.of(error), options, 1)


def _run(options: argparse.Namespace, recipe: Recipe, read: ReadOptions, output: Path, folder: Path) -> int:
    source = read_input(options.input, read.format, read.encoding, recipe, folder)
    read = replace(read, format=source.format, encoding=source.encoding)
    report = _checked(source.path, read, folder / "input")
    recipe = _fitting(source, report)
    result = _prepared(source, report, recipe, folder)
    files = _delivered(result, report.set_aside_rows, folder, output)
    after = _checked(output, ReadOptions(format=FileFormat.JSONL), folder / "output") if options.validate else None
    form = report.template.form if recipe.form is RowForm.DETECT else recipe.form
    show(options.input, files, result, form, after, as_json=options.json)
    return 0


def _checked(path: Path, read: ReadOptions, folder: Path) -> Report:
    folder.mkdir()
    kept = replace(read, tool_turns=ToolTurns.KEEP)
    request = ValidationRequest(input_file=str(path), output_dir=str(folder), filename=path.name, read=kept)
    report = validate(request, _quiet)
    if not report.valid:
        raise Refused(report)
    return report


def _fitting(source: Input, report: Report) -> Recipe:
    shape = Shape.of(report.template)
    if (misfit := impossible(shape, source.recipe.form)) is not None:
        raise InvalidArgument([misfit])
    if source.recipe.chunking is not None and shape.form is not RowForm.TEXT:
        en = f"Cuts texts, and these rows are {shape.form}."
        raise InvalidArgument.field(
            "recipe.chunking", "NOT_TEXT", en, f"分割できるのは TEXT の行だけです（{shape.form}）。"
        )
    return source.recipe


def _prepared(source: Input, report: Report, recipe: Recipe, folder: Path) -> PreparationResult:
    target = folder / "prepared"
    target.mkdir()
    rows = folder / "input" / ROWS_PATH
    request = PreparationRequest(input_file=str(rows), output_dir=str(target), template=report.template, recipe=recipe)
    result = prepare(request, _quiet)
    if result.failure:
        params = dict(result.params)
        if "line" in params and source.lines:
            params["line"] = source.lines[params["row"] - 1]
        raise PREPARATION_FAILURES[result.failure](**params)
    return result


def _delivered(result: PreparationResult, set_aside_rows: int, folder: Path, output: Path) -> dict[Path, int]:
    """The files that were made, with their rows; each appears whole."""
    made = [(result.rows[side.name], folder / "prepared" / name, _suffix(side)) for side, name in ROW_FILES.items()]
    made.append((set_aside_rows, folder / "input" / SET_ASIDE_PATH, "-set-aside"))
    files: dict[Path, int] = {}
    for rows, source, suffix in made:
        if rows:
            target = output.with_name(f"{output.stem}{suffix}{output.suffix}")
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(source, partial)
            partial.replace(target)
            files[target] = rows
    return files


def _suffix(side: Side) -> str:
    return "" if side is Side.KEPT else f"-{side.name.lower()}"


def _failed(error: Exception, options: argparse.Namespace, status: int, report: Report | None = None) -> int:
    show_failure(options.input, error, report, as_json=options.json)
    return status


def _usage(en: str, ja: str) -> InvalidArgument:
    return InvalidArgument.field("usage", "USAGE", en, ja)


def _recipe(asked: str) -> Recipe:
    """Raises AiftError, InvalidArgument."""
    try:
        message = recipe_of(json.loads(asked))
    except ValueError as error:
        raise _usage(f"--recipe is no JSON: {error}", f"--recipe が JSON ではありません: {error}") from None
    return recipe_message.from_proto(message) if message.ByteSize() else Recipe()


def _read(options: argparse.Namespace) -> ReadOptions:
    """Raises AiftError, InvalidArgument."""
    wanted = Reading(format=options.format, encoding=options.encoding, columns=columns_of(options.column))
    message = read_options(wanted | Reading(bad_rows=options.bad_rows))
    return job_request.reading(data_pb2.ROW_FORM_UNSPECIFIED, data_pb2.TRAIN_ON_UNSPECIFIED, message).read


def _beside(path: Path) -> Path:
    stem = path.name.split(".")[0] or "data"
    plain = path.with_name(f"{stem}.jsonl")
    return plain if plain != path and not plain.exists() else path.with_name(f"{stem}.prepared.jsonl")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aift data prepare", add_help=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--format")
    parser.add_argument("--encoding")
    parser.add_argument("--column", action="append", default=[])
    parser.add_argument("--bad-rows")
    parser.add_argument("--recipe", default="{}")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser


def _quiet(_: Progress) -> None:
    """Nobody is told how far it is."""


def run() -> NoReturn:
    """The program."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
