"""Which tokens of a version are trained, and how many it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aift.data.v1 import data_pb2 as pb

from services.core import names
from services.data_service import conversion
from services.data_service.calls.parts import BASE_MODEL, Calls, Context, check_bounds
from services.data_service.counting import template_json
from services.data_service.data_job import JobKind, JobSpec
from services.data_service.domain import ROWS_PATH, Version
from services.data_service.row_pages import RowView
from services.data_service.supervision.protocol import RenderedRow
from services.data_service.supervision_errors import refusal
from services.data_service.supervision_findings import findings

_DEFAULT_ROWS = 10
_MAX_ROWS = 50
_DEFAULT_LENGTH = 512
_MAX_LENGTH = 1 << 20
_MAX_TOKENS_SHOWN = 150_000
"""As many fit into one message, whatever they are."""


class SupervisionCalls(Calls):
    """Previews of what is trained, and counts."""

    async def PreviewSupervision(
        self, request: pb.PreviewSupervisionRequest, context: Context
    ) -> pb.PreviewSupervisionResponse:
        check_bounds("offset", request.offset)
        check_bounds("limit", request.limit, _MAX_ROWS)
        check_bounds("max_length", request.max_length, _MAX_LENGTH)
        names.parse(BASE_MODEL, request.base_model, field="base_model")
        version = await self._version(request.name, newest=True)
        tokenizer = await self._parts.tokenizers.of(request.base_model)
        views = await self._parts.rows.page(version, request.offset, request.limit or _DEFAULT_ROWS)
        answer = await self._parts.renderer.render(
            tokenizer.path, template_json(version), [view.json for view in views], request.max_length or _DEFAULT_LENGTH
        )
        if answer.refused is not None:
            raise refusal(answer.refused, tokenizer.base_model)
        return _response(version, [views[row.row] for row in answer.rows], answer.rows)

    async def CountDatasetTokens(self, request: pb.CountDatasetTokensRequest, context: Context) -> pb.DataJob:
        names.parse(BASE_MODEL, request.base_model, field="base_model")
        version = await self._version(request.name)
        tokenizer = await self._parts.tokenizers.of(request.base_model)
        rows = version.file(ROWS_PATH)
        spec = JobSpec(source_version=version.name, base_model=tokenizer.base_model)
        size = 0 if rows is None else rows.size_bytes
        return await self._start(JobKind.TOKEN_COUNT, version.dataset_id, spec, request, total_bytes=size)


def _response(version: Version, views: Sequence[RowView], rows: Sequence[RenderedRow]) -> pb.PreviewSupervisionResponse:
    return pb.PreviewSupervisionResponse(
        rows=_shown(views, rows),
        total_rows=version.statistics.rows,
        tokens=sum(len(row.ids) for row in rows),
        trained_tokens=sum(sum(row.trained) for row in rows),
        truncated_rows=sum(row.truncated_tokens > 0 for row in rows),
        truncated_tokens=sum(row.truncated_tokens for row in rows),
        untrained_rows=sum(row.trouble is None and not any(row.trained) for row in rows),
        findings=[conversion.finding(one) for one in findings(views, rows)],
    )


def _shown(views: Sequence[RowView], rows: Sequence[RenderedRow]) -> Iterator[pb.SupervisedRow]:
    """As many rows as fit into a message; of a first row that does not, the beginning."""
    left = _MAX_TOKENS_SHOWN
    for view, row in zip(views, rows, strict=True):
        if len(row.ids) > left and left < _MAX_TOKENS_SHOWN:
            return
        message = pb.SupervisedRow(
            index=view.index,
            answer=row.answer,
            truncated_tokens=row.truncated_tokens,
            stop_trained=row.stop_trained,
        )
        if row.trouble is not None:
            message.problem.CopyFrom(conversion.text(row.trouble.en, row.trouble.ja))
        for id_, text, trained in zip(row.ids[:left], row.pieces[:left], row.trained[:left], strict=True):
            message.tokens.add(id=id_, text=text, trained=trained)
        left -= min(left, len(row.ids))
        yield message
