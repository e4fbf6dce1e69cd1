"""Lists in pages that stay stable while rows come and go: newest first, the place kept as (create_time, id)."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_

from services.core.errors import InvalidArgument

DEFAULT_SIZE = 50
MAX_SIZE = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = TypeVar("Row")


@dataclass(frozen=True)
class Cursor:
    """The last row that the client has."""

    create_time: datetime
    id: str


@dataclass(frozen=True)
class Page:
    """What a List request asks for."""

    size: int
    after: Cursor | None
    filter_hash: str

    def of(self, statement: Select[Any], create_time: ColumnElement[Any], id_: ColumnElement[Any]) -> Select[Any]:
        """The statement narrowed to this page, with one row more than it shows."""
        if self.after is not None:
            earlier = create_time < self.after.create_time
            same = and_(create_time == self.after.create_time, id_ < self.after.id)
            statement = statement.where(or_(earlier, same))
        return statement.order_by(create_time.desc(), id_.desc()).limit(self.size + 1)

    def split(self, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
        """The rows to show and the next page's token, empty on the last page. Rows have `create_time` and `id`."""
        if len(rows) <= self.size:
            return rows, ""
        last: Any = rows[self.size - 1]
        create_time = last["create_time"] if isinstance(last, dict) else last.create_time
        id_ = last["id"] if isinstance(last, dict) else last.id
        return rows[: self.size], encode(Cursor(create_time, id_), self.filter_hash)


def page(request: Any, **filters: object) -> Page:
    """The page that a request with `page_size` and `page_token` asks for. Raises InvalidArgument.

    `filters` are what else narrows the list: a token is refused with others than those it was given for.
    """
    if request.page_size < 0:
        raise InvalidArgument.field("page_size", "NEGATIVE", "Must not be negative.", "0 以上の値を指定してください。")
    size = min(request.page_size, MAX_SIZE) or DEFAULT_SIZE
    digest = hash_of(filters)
    return Page(size, decode(request.page_token, digest), digest)


def hash_of(filters: dict[str, object]) -> str:
    """A short digest of a list's filters."""
    return hashlib.sha256(json.dumps(filters, sort_keys=True, default=str).encode()).hexdigest()[:12]


def encode(cursor: Cursor, filter_hash: str) -> str:
    """The opaque token of a place."""
    micros = (cursor.create_time - _EPOCH) // (datetime.resolution)
    raw = json.dumps([micros, cursor.id, filter_hash], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def decode(token: str, filter_hash: str) -> Cursor | None:
    """The place of a token, None for the first page. Raises InvalidArgument."""
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        micros, id_, made_for = json.loads(raw)
        cursor = Cursor(_EPOCH + int(micros) * datetime.resolution, str(id_))
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise _bad_token("Is not a token of this list.", "このリストのトークンではありません。") from None
    if made_for != filter_hash or "\0" in cursor.id:
        raise _bad_token(
            "Belongs to a list with other filters; start again without it.",
            "別の絞り込み条件のトークンです。トークンなしで最初からやり直してください。",
        )
    return cursor


def _bad_token(en: str, ja: str) -> InvalidArgument:
    return InvalidArgument.field("page_token", "INVALID_PAGE_TOKEN", en, ja)
