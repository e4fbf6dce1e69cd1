"""Attention inside rows that lie end to end in one sequence.

Everything in a transformer but attention works token by token, so that rows laid end to end need no padding there.
For attention alone they are spread into [rows, longest], where a causal kernel without a mask does what it does for
single rows, and gathered again. Exact, and faster than a block mask, whose cost grows with the square of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import is_flash_attn_2_available

NAME = "aift_rows"


def register() -> None:
    """Makes the name known to transformers."""
    AttentionInterface.register(NAME, rows_attention)
    AttentionMaskInterface.register(NAME, _mask)


def for_padded(config: Any) -> str:
    """The attention of rows with padding. SDPA leaves the cap on attention scores out that Gemma 2 was trained with."""
    return "eager" if _is_capped(config) else "sdpa"


def for_packed(config: Any, device: torch.device) -> tuple[str, ...]:
    """Attentions that may be right for rows laid end to end, the fastest first: flash attention where it is installed
    and a GPU there (it takes cu_seq_lens and caps), then `rows_attention`, then the block mask of transformers."""
    flash = ("flash_attention_2",) if device.type == "cuda" and is_flash_attn_2_available() else ()
    return (*flash, for_padded(config)) if _is_capped(config) else (*flash, NAME, "sdpa")


def _is_capped(config: Any) -> bool:
    return bool(getattr(config.get_text_config(), "attn_logit_softcapping", None))


def layout(lengths: Sequence[int]) -> dict[str, Any]:
    """What `rows_attention`, and flash attention, need to know of rows laid end to end, as arguments of the model.

    spread: [rows * longest] from the flat sequence, the last token of a row repeated as filling;
    gather: [tokens] back; cu_seq_lens_*: [rows + 1] where each row begins.
    """
    longest = max(lengths)
    starts = torch.tensor([0, *lengths]).cumsum(0)
    sizes = torch.tensor(lengths)
    columns = torch.arange(longest)
    spread = starts[:-1, None] + torch.minimum(columns[None, :], sizes[:, None] - 1)
    gather = (torch.arange(len(lengths))[:, None] * longest + columns[None, :])[columns[None, :] < sizes[:, None]]
    bounds = starts.to(torch.int32)
    return {
        "spread": spread.flatten(),
        "gather": gather,
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def rows_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """query: [1, heads, tokens, width] of flat rows, key and value alike. Returns [1, tokens, heads, width], None.

    Without a layout (generation, padded batches) it is transformers' SDPA attention.
    """
    spread, gather, longest = (options.pop(name, None) for name in ("spread", "gather", "max_length_q"))
    if spread is None or gather is None or longest is None:
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended, None
    split = [_spread(x, spread, longest) for x in (query, key, value)]
    mask = _window(longest, options.get("sliding_window"), query.device)
    attended, _ = sdpa_attention_forward(module, *split, mask, **{**options, "is_causal": mask is None})
    return attended.flatten(0, 1).index_select(0, gather)[None], None


def _spread(flat: torch.Tensor, spread: torch.Tensor, longest: int) -> torch.Tensor:
    """[1, heads, tokens, width] -> [rows, heads, longest, width]"""
    _, heads, _, width = flat.shape
    return flat[0].index_select(1, spread).view(heads, -1, longest, width).transpose(0, 1)


def _window(longest: int, width: int | None, device: torch.device) -> torch.Tensor | None:
    """[1, 1, longest, longest] for layers that look back `width` tokens only; None where that is all of a row."""
    if width is None or longest <= width:
        return None
    distance = torch.arange(longest, device=device)[:, None] - torch.arange(longest, device=device)[None, :]
    return ((distance >= 0) & (distance < width))[None, None]


def _mask(*sizes: Any, attention_mask: torch.Tensor | None = None, **options: Any) -> torch.Tensor | None:
    """No mask where there is no padding: rows are told apart by the layout, and a single row is plainly causal."""
    if attention_mask is None:
        return None
    mask: torch.Tensor | None = sdpa_mask(*sizes, attention_mask=attention_mask, **options)
    return mask
