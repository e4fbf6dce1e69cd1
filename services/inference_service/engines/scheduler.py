"""Which request runs next: first come, first served, in lanes of rows that may share a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from services.inference_service.engines.batch import Batch, Row
from services.inference_service.engines.protocol import End, Message, Text
from services.inference_service.engines.weights import Weights


class Scheduler:
    """Waiting rows and the batches in flight, at most ``max_rows`` rows in all."""

    def __init__(self, weights: Weights, max_rows: int, send: Callable[[Message], None]) -> None:
        self._weights = weights
        self._max_rows = max_rows
        self._send = send
        self._waiting: deque[Row] = deque()
        self._lanes: dict[str, Batch] = {}

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._lanes)

    def add(self, row: Row) -> None:
        """Puts a row at the end of the queue."""
        self._waiting.append(row)

    def cancel(self, request: str) -> None:
        """Drops a request wherever it is."""
        self._waiting = deque(row for row in self._waiting if row.request != request)
        for batch in self._lanes.values():
            batch.leave({request})
        self._drop_empty_lanes()

    def step(self) -> None:
        """Takes in who may join, then one token for every row."""
        for lane, rows in self._admit().items():
            batch = self._lanes.setdefault(lane, Batch(self._weights))
            self._show(batch, batch.join(rows))
        for batch in list(self._lanes.values()):
            if batch.rows:
                self._show(batch, batch.step())
        self._drop_empty_lanes()

    def _admit(self) -> dict[str, list[Row]]:
        free = self._max_rows - sum(len(batch.rows) for batch in self._lanes.values())
        admitted: dict[str, list[Row]] = {}
        while self._waiting and free > 0:
            lane = self._weights.lane(self._waiting[0].adapter)
            batch = self._lanes.get(lane)
            if batch is not None and not batch.joinable:
                break
            admitted.setdefault(lane, []).append(self._waiting.popleft())
            free -= 1
        return admitted

    def _show(self, batch: Batch, texts: dict[str, str]) -> None:
        for request, text in texts.items():
            if text:
                self._send(Text(request=request, text=text))
        for row in batch.leave(set()):
            self._send(_end(row))

    def _drop_empty_lanes(self) -> None:
        self._lanes = {lane: batch for lane, batch in self._lanes.items() if batch.rows}


def _end(row: Row) -> End:
    return End(
        request=row.request,
        finish=row.finish,
        prompt_tokens=len(row.prompt_ids),
        completion_tokens=len(row.tokens),
        queue_seconds=row.started - row.arrived,
        first_token_seconds=row.first_token - row.started,
        total_seconds=monotonic() - row.started,
    )
