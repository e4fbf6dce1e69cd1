"""Recipes as messages, and back, checked."""

from __future__ import annotations

from collections.abc import Iterator

from aift.data.v1 import data_pb2 as pb

from services.core.errors import InvalidArgument, Violation
from services.data_service.job_request import FORMS, known
from services.data_service.patterns import misfit
from services.data_service.recipe import (
    Chunking,
    Deduplication,
    Normalization,
    Recipe,
    Redaction,
    RowFilter,
    Split,
)

MAX_CHUNK_CHARACTERS = 100_000
MAX_PATTERNS = 20
_NORMALIZATIONS = {
    pb.NORMALIZATION_UNSPECIFIED: Normalization.NONE,
    pb.NORMALIZATION_NONE: Normalization.NONE,
    pb.NORMALIZATION_HALFWIDTH_KANA: Normalization.HALFWIDTH_KANA,
    pb.NORMALIZATION_NFKC: Normalization.NFKC,
}
_NORMALIZATION_OF = {kind: number for number, kind in reversed(_NORMALIZATIONS.items())}
_FORM_OF = {form: number for number, form in FORMS.items()}


def from_proto(message: pb.Recipe) -> Recipe:
    """The recipe. Raises InvalidArgument with everything that is out of bounds."""
    recipe = Recipe(
        chunking=_chunking(message.chunking) if message.HasField("chunking") else None,
        form=known(FORMS, message.form, "recipe.form"),
        normalization=known(_NORMALIZATIONS, message.normalization, "recipe.normalization"),
        redaction=_redaction(message.redaction) if message.HasField("redaction") else None,
        filter=_filter(message.filter) if message.HasField("filter") else None,
        deduplication=_deduplication(message.deduplication) if message.HasField("deduplication") else None,
        split=_split(message.split) if message.HasField("split") else None,
    )
    if violations := _violations(recipe):
        raise InvalidArgument(violations)
    return recipe


def to_proto(recipe: Recipe) -> pb.Recipe:
    """The same as a message."""
    message = pb.Recipe(form=_FORM_OF[recipe.form], normalization=_NORMALIZATION_OF[recipe.normalization])
    if (chunking := recipe.chunking) is not None:
        message.chunking.max_characters = chunking.max_characters
        message.chunking.overlap_characters = chunking.overlap_characters
    if (redaction := recipe.redaction) is not None:
        message.redaction.emails = redaction.emails
        message.redaction.phone_numbers = redaction.phone_numbers
        message.redaction.my_numbers = redaction.my_numbers
    if (row_filter := recipe.filter) is not None:
        message.filter.min_characters = row_filter.min_characters
        message.filter.max_characters = row_filter.max_characters
        message.filter.drop_patterns.extend(row_filter.drop_patterns)
        message.filter.keep_patterns.extend(row_filter.keep_patterns)
    if (deduplication := recipe.deduplication) is not None:
        message.deduplication.exact = deduplication.exact
        message.deduplication.near_threshold = deduplication.near_threshold
    if (split := recipe.split) is not None:
        message.split.validation_share = split.validation_share
        message.split.test_share = split.test_share
        message.split.salt = split.salt
    return message


def _chunking(message: pb.Chunking) -> Chunking:
    return Chunking(max_characters=message.max_characters, overlap_characters=message.overlap_characters)


def _redaction(message: pb.Redaction) -> Redaction:
    return Redaction(emails=message.emails, phone_numbers=message.phone_numbers, my_numbers=message.my_numbers)


def _filter(message: pb.RowFilter) -> RowFilter:
    return RowFilter(
        min_characters=message.min_characters,
        max_characters=message.max_characters,
        drop_patterns=list(message.drop_patterns),
        keep_patterns=list(message.keep_patterns),
    )


def _deduplication(message: pb.Deduplication) -> Deduplication:
    return Deduplication(exact=message.exact, near_threshold=message.near_threshold)


def _split(message: pb.Split) -> Split:
    return Split(validation_share=message.validation_share, test_share=message.test_share, salt=message.salt)


def _violations(recipe: Recipe) -> list[Violation]:
    found = list(_chunking_violations(recipe.chunking)) + list(_filter_violations(recipe.filter))
    near = recipe.deduplication.near_threshold if recipe.deduplication else 0.0
    if near and not 0.5 < near <= 1:
        found.append(
            _bounds(
                "recipe.deduplication.near_threshold",
                near,
                "above 0.5 up to 1, or 0",
                "0.5 より大きく 1 以下、または 0",
            )
        )
    if (split := recipe.split) is not None:
        for name, share in (("validation_share", split.validation_share), ("test_share", split.test_share)):
            if not 0 <= share <= 0.5:
                found.append(_bounds(f"recipe.split.{name}", share, "0 to 0.5", "0〜0.5"))
    if recipe == Recipe():
        nothing = "Asks for nothing. Name at least one step.", "処理が指定されていません。1 つ以上指定してください。"
        found.append(Violation("recipe", "EMPTY_RECIPE", *nothing))
    return found


def _chunking_violations(chunking: Chunking | None) -> Iterator[Violation]:
    if chunking is None:
        return
    longest, overlap = chunking.max_characters, chunking.overlap_characters
    if not 1 <= longest <= MAX_CHUNK_CHARACTERS:
        bounds = f"1 to {MAX_CHUNK_CHARACTERS}", f"1〜{MAX_CHUNK_CHARACTERS}"
        yield _bounds("recipe.chunking.max_characters", longest, *bounds)
    elif not 0 <= overlap <= longest // 2:
        bounds = f"0 to {longest // 2}, half of max_characters", f"0〜{longest // 2}（max_characters の半分）"
        yield _bounds("recipe.chunking.overlap_characters", overlap, *bounds)


def _filter_violations(row_filter: RowFilter | None) -> Iterator[Violation]:
    if row_filter is None:
        return
    least, most = row_filter.min_characters, row_filter.max_characters
    if least < 0:
        yield _bounds("recipe.filter.min_characters", least, "0 or more", "0 以上")
    if most < 0 or (most and most < least):
        yield _bounds("recipe.filter.max_characters", most, f"0, or at least {least}", f"0 または {least} 以上")
    for name, patterns in (("drop_patterns", row_filter.drop_patterns), ("keep_patterns", row_filter.keep_patterns)):
        if len(patterns) > MAX_PATTERNS:
            yield _bounds(
                f"recipe.filter.{name}", len(patterns), f"at most {MAX_PATTERNS} patterns", f"{MAX_PATTERNS} 個以内"
            )
        found = (misfit(f"recipe.filter.{name}[{index}]", pattern) for index, pattern in enumerate(patterns))
        yield from (violation for violation in found if violation is not None)


def _bounds(field: str, value: float, en: str, ja: str) -> Violation:
    return Violation(
        field, "OUT_OF_BOUNDS", f"Must be {en}, not {value}.", f"{ja} で指定してください（指定値: {value}）。"
    )
