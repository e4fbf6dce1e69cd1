"""What differs between versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from aift.data.v1 import data_pb2 as pb

from services.core import names
from services.data_service.calls.parts import VERSION, Calls, Context, check_bounds
from services.data_service.differences.request import ShownRow

_DEFAULT_ROWS = 20
_MAX_ROWS = 100


class ComparisonCalls(Calls):
    """Differences."""

    async def DiffDatasetVersions(
        self, request: pb.DiffDatasetVersionsRequest, context: Context
    ) -> pb.DiffDatasetVersionsResponse:
        check_bounds("limit", request.limit, _MAX_ROWS)
        names.parse(VERSION, request.base, field="base")
        version, base = await self._version(request.name), await self._version(request.base)
        found = await self._parts.differences.between(version, base, request.limit or _DEFAULT_ROWS)
        return pb.DiffDatasetVersionsResponse(
            unchanged_rows=found.unchanged_rows,
            added_rows=found.added_rows,
            removed_rows=found.removed_rows,
            changed_rows=found.changed_rows,
            added=_rows(found.added),
            removed=_rows(found.removed),
            changed=[pb.RowChange(before=_row(before), after=_row(after)) for before, after in found.changed],
        )


def _rows(rows: Iterable[ShownRow]) -> list[pb.Row]:
    return [_row(row) for row in rows]


def _row(row: ShownRow) -> pb.Row:
    return pb.Row(**asdict(row))
