"""Which rows are held out: decided by each row's content alone, so that it never moves when data are added."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import IntEnum

from services.data_service.domain import RowForm
from services.data_service.preparation.rows import Row
from services.data_service.recipe import Split


class Side(IntEnum):
    """Where a row goes."""

    KEPT = 0
    VALIDATION = 1
    TEST = 2


class Splitter:
    """Tells every row's side.

    A row's place between 0 and 1 is a hash of the salt and of its texts after all other steps: validation takes from
    the lower end and test from the upper, so that another share moves rows only out of or into training. Further
    fields, the order of fields and the form do not count. Pieces of one text stay together, and so do answers to one
    prompt in preference and labeled rows. Similar rows may fall apart; what keeps them from it is to drop them before
    (`deduplication.near_threshold`).
    """

    def __init__(self, how: Split | None) -> None:
        self._how = how or Split()
        self._salt = self._how.salt.encode()

    def side(self, row: Row, texts: Sequence[str], form: RowForm) -> Side:
        """The side of a row with these texts."""
        if not self._how.validation_share and not self._how.test_share:
            return Side.KEPT
        return self.side_of([row.origin] if row.origin else _deciding(texts, form))

    def side_of(self, texts: Sequence[str]) -> Side:
        """The side of rows in which these texts decide."""
        content = "\x1e".join(text.strip() for text in texts)
        digest = hashlib.sha256(self._salt + b"\0" + content.encode()).digest()
        place = int.from_bytes(digest[:8]) / 2**64
        if place < self._how.validation_share:
            return Side.VALIDATION
        return Side.TEST if place >= 1 - self._how.test_share else Side.KEPT


def _deciding(texts: Sequence[str], form: RowForm) -> Sequence[str]:
    answers = {RowForm.PREFERENCE: 2, RowForm.LABELED: 1}.get(form, 0)
    return texts[:-answers] or texts if answers else texts
