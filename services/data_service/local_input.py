"""The input of a local preparation: which file holds rows, or which rows a text is made into."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from services.data_service.domain import FileFormat, RowForm, TextEncoding
from services.data_service.recipe import Chunking, Recipe
from services.data_service.text_rows import marked, pieces, read_lines

_CODECS = {TextEncoding.DETECT: "", TextEncoding.CP932: "cp932", TextEncoding.EUC_JP: "euc_jp"}
_TEXT_NAMES = (".txt", ".text", ".md")
_PIECES = Chunking(max_characters=1000)


@dataclass(frozen=True)
class Input:
    """The file with the rows, how it is written, what is still to be done, and the lines at which the rows began."""

    path: Path
    format: FileFormat
    encoding: TextEncoding
    recipe: Recipe
    lines: Sequence[int] = ()


def read_input(path: Path, format_: FileFormat, encoding: TextEncoding, recipe: Recipe, folder: Path) -> Input:
    """The file itself, or rows made of a text, in `folder`. Raises OSError."""
    asked, by_name = format_ is FileFormat.TEXT, path.suffix.lower() in _TEXT_NAMES
    as_text = asked or (format_ is FileFormat.DETECT and by_name)
    if not as_text:
        return Input(path, format_, encoding, recipe)
    if _holds_json(path):
        form = RowForm.TEXT if asked and recipe.form is RowForm.DETECT else recipe.form
        return Input(path, FileFormat.DETECT, encoding, replace(recipe, form=form))
    try:
        return _from_text(path, _CODECS[encoding], recipe, folder / "rows.jsonl")
    except UnicodeDecodeError:
        return Input(path, FileFormat.TEXT, encoding, recipe)  # the check tells what it is instead


def _from_text(path: Path, codec: str, recipe: Recipe, target: Path) -> Input:
    questions = marked(read_lines(path, codec)) if recipe.chunking is None else None
    if questions is not None:
        _write(target, questions.rows(read_lines(path, codec)))
        form = RowForm.INSTRUCTION if recipe.form is RowForm.DETECT else recipe.form
        return Input(target, FileFormat.JSONL, TextEncoding.DETECT, replace(recipe, form=form), questions.lines)
    _write(target, pieces(read_lines(path, codec), recipe.chunking or _PIECES))
    return Input(target, FileFormat.JSONL, TextEncoding.DETECT, replace(recipe, chunking=None))


def _write(target: Path, texts: Iterable[str]) -> None:
    with target.open("w") as file:
        for one in texts:
            file.write(json.dumps({"text": one}, ensure_ascii=False) + "\n")


def _holds_json(path: Path) -> bool:
    """Whether the first line that is not blank is a JSON object, or begins one."""
    with path.open("rb") as file:
        head = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(b"{"):
        return False
    with suppress(ValueError):
        return isinstance(json.loads(head.splitlines()[0]), dict)
    return head.startswith((b'{"', b"{\n", b"{\r"))
