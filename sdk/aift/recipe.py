"""Recipes of preparations: from words, mappings and files, to the message and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict, Unpack

import yaml
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from aift.data.v1 import data_pb2
from aift.errors import AiftError, invalid
from aift.reading import FORM_ALIASES, FORMS, choice, form_word

NORMALIZATIONS: Final = {
    "none": data_pb2.NORMALIZATION_NONE,
    "halfwidth-kana": data_pb2.NORMALIZATION_HALFWIDTH_KANA,
    "nfkc": data_pb2.NORMALIZATION_NFKC,
}
REDACTIONS: Final = {"emails": "emails", "phones": "phone_numbers", "my-numbers": "my_numbers"}
"""A word for personal data → the field of Redaction."""
NEAR_THRESHOLD = 0.85
"""How similar rows are that "near" means, as Jaccard similarity."""

RecipeSource = data_pb2.Recipe | Mapping[str, object] | str | Path


class RecipeOptions(TypedDict, total=False):
    """What is done to rows; what is left out or None is not done."""

    chunk: int | tuple[int, int] | str | None
    """Long texts are cut: longest chunk in characters, also with the overlap: (1000, 100) or "1000:100"."""
    to: str | None
    """The form that rows shall have, one of aift.reading.FORMS."""
    normalize: str | None
    """ "halfwidth-kana" or "nfkc"."""
    redact: str | Sequence[str] | None
    """Of "emails", "phones", "my-numbers"; also several in one string with commas."""
    min_characters: int | None
    """Shorter rows are dropped."""
    max_characters: int | None
    """Longer rows are dropped."""
    drop_patterns: Sequence[str] | None
    """Rows in which one of these regular expressions matches are dropped."""
    keep_patterns: Sequence[str] | None
    """Rows in which none of these matches are dropped."""
    dedupe: str | float | None
    """ "exact", "near", "near=0.9" or the threshold itself, above 0.5 up to 1."""
    split: Mapping[str, float] | str | Sequence[str] | None
    """Shares held out: {"validation": 0.05, "test": 0.05}, or "validation=0.05,test=0.05", also one by one."""
    salt: str | None
    """Another salt gives another split."""


def recipe_of(source: RecipeSource | None = None, **options: Unpack[RecipeOptions]) -> data_pb2.Recipe:
    """A recipe from a message, a mapping by the proto's names or a YAML file, and options, which win.

    Raises AiftError FILE_NOT_FOUND, INVALID_RECIPE or UNKNOWN_VALUE.
    """
    made = data_pb2.Recipe()
    made.CopyFrom(_from_source(source))
    if options.get("chunk") is not None:
        made.chunking.CopyFrom(_chunking(options["chunk"]))
    made.form = choice("to", options.get("to"), FORMS, made.form, FORM_ALIASES)
    made.normalization = choice("normalize", options.get("normalize"), NORMALIZATIONS, made.normalization)
    for word in _words(options.get("redact")):
        setattr(made.redaction, _redaction(word), True)
    _filter(made, options)
    if (dedupe := options.get("dedupe")) is not None:
        _deduplicate(made.deduplication, dedupe)
    _split(made, options)
    return made


def as_mapping(message: data_pb2.Recipe) -> dict[str, object]:
    """A recipe by the proto's names, with words for enumerations; `recipe_of` takes it back."""
    plain: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    if message.form:
        plain["form"] = form_word(message.form)
    if message.normalization:
        plain["normalization"] = next(w for w, number in NORMALIZATIONS.items() if number == message.normalization)
    return plain


def _from_source(source: RecipeSource | None) -> data_pb2.Recipe:
    if isinstance(source, data_pb2.Recipe):
        return source
    if source is None:
        return data_pb2.Recipe()
    return _from_mapping(source if isinstance(source, Mapping) else _content(Path(source).expanduser()))


def _content(path: Path) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        en, ja = f"There is no file {path}.", f"ファイル {path} がありません。"
        raise invalid("recipe", "FILE_NOT_FOUND", en, ja) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise _wrong(f"{path} is not YAML: {error}", f"{path} は YAML として読めません: {error}") from error
    if not isinstance(content, Mapping):
        raise _wrong(f"{path} holds no names with values.", f"{path} の内容が「名前: 値」の形ではありません。")
    return content


def _from_mapping(content: Mapping[str, object]) -> data_pb2.Recipe:
    plain = dict(content)
    made = data_pb2.Recipe()
    form, normalization = plain.pop("form", None), plain.pop("normalization", None)
    try:
        ParseDict(plain, made)
    except ParseError as error:
        raise _wrong(f"This is no recipe: {error}", f"レシピとして読めません: {error}") from error
    if form is not None:
        word = str(form).removeprefix("ROW_FORM_")
        made.form = choice("recipe.form", word, FORMS, made.form, FORM_ALIASES)
    if normalization is not None:
        word = str(normalization).removeprefix("NORMALIZATION_")
        made.normalization = choice("recipe.normalization", word, NORMALIZATIONS, made.normalization)
    return made


def _chunking(value: int | tuple[int, int] | str | None) -> data_pb2.Chunking:
    parts = str(value).split(":") if isinstance(value, (int, str)) else [str(part) for part in value or ()]
    try:
        longest, overlap = (int(part) for part in (*parts, "0")[:2])
    except ValueError:
        raise _wrong(
            f"chunk is {value!r}; write characters, or characters:overlap.",
            f"chunk の {value!r} は使えません。「文字数」または「文字数:重なり」で指定してください。",
        ) from None
    return data_pb2.Chunking(max_characters=longest, overlap_characters=overlap)


def _words(value: str | Sequence[str] | None) -> list[str]:
    parts = ",".join([value] if isinstance(value, str) else value or ()).split(",")
    return [part.strip() for part in parts if part.strip()]


def _redaction(word: str) -> str:
    names = {**REDACTIONS, "phone-numbers": "phone_numbers"}
    number = choice("redact", word, {name: index for index, name in enumerate(names)}, 0)
    return list(names.values())[number]


def _filter(made: data_pb2.Recipe, options: RecipeOptions) -> None:
    if (least := options.get("min_characters")) is not None:
        made.filter.min_characters = least
    if (most := options.get("max_characters")) is not None:
        made.filter.max_characters = most
    if patterns := options.get("drop_patterns"):
        made.filter.drop_patterns.extend(patterns)
    if patterns := options.get("keep_patterns"):
        made.filter.keep_patterns.extend(patterns)


def _deduplicate(made: data_pb2.Deduplication, value: str | float) -> None:
    word, _, threshold = str(value).strip().lower().partition("=")
    if word == "exact" and not threshold:
        made.exact = True
        return
    written = threshold or str(NEAR_THRESHOLD) if word == "near" else word
    try:
        made.near_threshold = float(written)
    except ValueError:
        raise _wrong(
            f"dedupe is {value!r}; write exact, near or near=0.9.",
            f"dedupe の {value!r} は使えません。exact、near、near=0.9 のように指定してください。",
        ) from None
    made.exact = True


def _split(made: data_pb2.Recipe, options: RecipeOptions) -> None:
    for name, share in _shares(options.get("split")).items():
        if name not in ("validation", "test"):
            raise _wrong(
                f"split names {name!r}; name validation, test or both.",
                f"split の {name!r} は使えません。validation と test を指定してください。",
            )
        setattr(made.split, f"{name}_share", share)
    if salt := options.get("salt"):
        made.split.salt = salt


def _shares(value: Mapping[str, float] | str | Sequence[str] | None) -> dict[str, float]:
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return {name.strip(): float(share) for name, share in (part.split("=") for part in _words(value))}
    except ValueError:
        raise _wrong(
            f"split is {value!r}; write validation=0.05,test=0.05.",
            f"split の {value!r} は使えません。validation=0.05,test=0.05 のように指定してください。",
        ) from None


def _wrong(en: str, ja: str) -> AiftError:
    return invalid("recipe", "INVALID_RECIPE", en, ja)
