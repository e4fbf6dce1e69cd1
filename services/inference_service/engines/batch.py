"""Rows that generate together: requests join and leave between steps (in-flight batching).

Rows are padded on the left. A newcomer's prompt runs alone first; then its keys and values are put beside those of
the others. A row that ends is cut out, and so is padding that no row needs any more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from services.inference_service.engines.detokenizer import Detokenizer
from services.inference_service.engines.sampler import Choice, choose
from services.inference_service.engines.weights import Weights


@dataclass(kw_only=True)
class Row:
    """One request in the batch."""

    request: str
    adapter: str
    prompt_ids: list[int]
    max_new_tokens: int
    choice: Choice
    detokenizer: Detokenizer
    stop_tokens: frozenset[int]
    arrived: float
    started: float = 0.0
    first_token: float = 0.0
    tokens: list[int] = field(default_factory=list)
    finish: str = ""


class Batch:
    """The rows in flight with their attention cache."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.rows: list[Row] = []
        self._cache: Any = None
        self._mask = torch.zeros(0, 0, dtype=torch.long, device=weights.device)
        self._seen = torch.zeros(0, weights.vocabulary_size, dtype=torch.bool, device=weights.device)

    @property
    def joinable(self) -> bool:
        """Whether rows may join now: always, but for models whose cache forgets (sliding windows), when empty."""
        return not self.rows or self._weights.cache_can_merge

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> dict[str, str]:
        """Runs the prompts of new rows and takes them in. Returns the first text of each."""
        started = time.monotonic()
        for row in rows:
            row.started = started
        width = max(len(row.prompt_ids) for row in rows)
        ids = torch.tensor(
            [[0] * (width - len(r.prompt_ids)) + r.prompt_ids for r in rows], device=self._weights.device
        )
        mask = torch.tensor(
            [[0] * (width - len(r.prompt_ids)) + [1] * len(r.prompt_ids) for r in rows], device=self._weights.device
        )
        logits, cache = self._weights.forward(
            ids, mask, positions=(mask.cumsum(-1) - 1).clamp(min=0), cache=None, adapters=[r.adapter for r in rows]
        )
        seen = torch.zeros(len(rows), self._weights.vocabulary_size, dtype=torch.bool, device=self._weights.device)
        seen.scatter_(1, ids, mask.bool())
        for index, row in enumerate(rows):  # padding is token 0, which a prompt may hold too
            seen[index, 0] = 0 in row.prompt_ids
        self._merge(list(rows), cache, mask, seen)
        return self._advance(len(self.rows) - len(rows), logits)

    @torch.inference_mode()
    def step(self) -> dict[str, str]:
        """One more token for every row. Returns the new text of each, "" where nothing can be shown yet."""
        last = torch.tensor([[row.tokens[-1]] for row in self.rows], device=self._weights.device)
        self._mask = pad(self._mask, (0, 1), value=1)
        logits, self._cache = self._weights.forward(
            last,
            self._mask,
            positions=self._mask.sum(-1, keepdim=True) - 1,
            cache=self._cache,
            adapters=[row.adapter for row in self.rows],
        )
        return self._advance(0, logits)

    def leave(self, requests: set[str]) -> list[Row]:
        """Cuts rows out: those named and those that have finished. Returns them."""
        keep = [i for i, row in enumerate(self.rows) if not row.finish and row.request not in requests]
        if len(keep) == len(self.rows):
            return []
        gone = [row for i, row in enumerate(self.rows) if i not in set(keep)]
        self.rows = [self.rows[i] for i in keep]
        index = torch.tensor(keep, dtype=torch.long, device=self._weights.device)
        self._seen, self._mask = self._seen[index], self._mask[index]
        if not keep:
            self._cache = None
            return gone
        self._cache.batch_select_indices(index)
        self._trim()
        return gone

    def _trim(self) -> None:
        """Drops leading columns that are padding in every row."""
        if not self._weights.cache_can_merge:
            return
        spare = int((self._mask.cumsum(-1) == 0).all(dim=0).sum())
        if spare:
            self._mask = self._mask[:, spare:]
            for layer in self._cache.layers:
                layer.keys, layer.values = layer.keys[:, :, spare:], layer.values[:, :, spare:]

    def _merge(self, rows: list[Row], cache: Any, mask: Tensor, seen: Tensor) -> None:
        if not self.rows:
            self.rows, self._cache, self._mask, self._seen = rows, cache, mask, seen
            return
        width = max(self._mask.shape[1], mask.shape[1])
        old_pad, new_pad = width - self._mask.shape[1], width - mask.shape[1]
        for old, new in zip(self._cache.layers, cache.layers, strict=True):
            old.keys = torch.cat([pad(old.keys, (0, 0, old_pad, 0)), pad(new.keys, (0, 0, new_pad, 0))])
            old.values = torch.cat([pad(old.values, (0, 0, old_pad, 0)), pad(new.values, (0, 0, new_pad, 0))])
        self._mask = torch.cat([pad(self._mask, (old_pad, 0)), pad(mask, (new_pad, 0))])
        self._seen = torch.cat([self._seen, seen])
        self.rows = self.rows + rows

    def _advance(self, first: int, logits: Tensor) -> dict[str, str]:
        """Chooses and shows a token for the rows from ``first`` on; logits are [those rows, vocabulary]."""
        rows = self.rows[first:]
        tokens = choose(logits, self._seen[first:], [row.choice for row in rows])
        index = torch.tensor(tokens, device=self._weights.device)[:, None]
        self._seen[first:].scatter_(1, index, value=True)
        now = time.monotonic()
        return {row.request: self._take(row, token, now) for row, token in zip(rows, tokens, strict=True)}

    def _take(self, row: Row, token: int, now: float) -> str:
        row.tokens.append(token)
        row.first_token = row.first_token or now
        if token in row.stop_tokens:
            row.finish = "stop"
            return row.detokenizer.flush()
        text = row.detokenizer.push(token)
        if row.detokenizer.stopped:
            row.finish = "stop"
        elif len(row.tokens) >= row.max_new_tokens:
            row.finish = "length"
            text += row.detokenizer.flush()
        return text
