"""Losses of trained tokens without the logits of all of them at once.

A step may train 10,000 tokens over a vocabulary of 150,000: their logits alone are 6 GB in fp32, and the backward pass
holds them three times. Where they are many, the model runs up to its output layer only, and the output layer on a few
places at a time, each counted anew in the backward pass. Losses and gradients are those of all logits within rounding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from services.training_service.trainer import logits

log = logging.getLogger(__name__)

_MARK = "aift_finish"
_PROBED = 16

Finish = Callable[[torch.Tensor], torch.Tensor]
"""What a model does to the numbers of its output layer before they are its logits."""


def losses(model: Any, inputs: Mapping[str, Any], targets: torch.Tensor) -> torch.Tensor:
    """[trained]: cross-entropy of each target in nats and fp32, at the places that `logits_to_keep` names."""
    output = _bare(model).get_output_embeddings()
    finish, places = getattr(output, _MARK, None), logits.AT_ONCE // _vocabulary(output)
    if finish is None or len(targets) <= places:
        whole = model(**inputs, use_cache=False).logits  # [trained, vocabulary]
        return functional.cross_entropy(whole.float(), targets, reduction="none")
    with _held_back(output) as caught:
        model(**inputs, use_cache=False)

    def some(hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(finish(output(hidden)).float(), wanted, reduction="none")

    chunks = zip(torch.split(caught[0], max(1, places)), torch.split(targets, max(1, places)), strict=True)
    counted = [checkpoint(some, *chunk, use_reentrant=False) for chunk in chunks]
    return torch.cat(counted)


def prove_chunks(model: Any, device: torch.device) -> bool:
    """Lets `losses` take the output layer in chunks where it is known what the model does to its numbers.

    Tried on this very model: in place of the output layer it gets numbers made up, and must make of them what we do.
    Not for weights that are shared out, which are whole only while the model itself runs.
    """
    output, finish = model.get_output_embeddings(), finish_of(model.config.get_text_config())
    kept = torch.zeros(1, _PROBED, dtype=torch.bool, device=device)
    kept[:, ::2] = True
    probe = torch.linspace(-300, 300, _PROBED, device=device)
    with torch.no_grad(), _held_back(output, probe) as caught:
        try:
            ids = torch.arange(_PROBED, device=device)[None] % _vocabulary(output)
            made = model(input_ids=ids, logits_to_keep=kept, use_cache=False).logits
        except (RuntimeError, TypeError, ValueError) as error:
            log.warning("%s is not taken apart: %s", type(model).__name__, error)
            return False
    shapes = [tuple(hidden.shape[:-1]) for hidden in caught]
    expected = finish(probe.to(caught[0].dtype).expand(int(kept.sum()), -1))
    right = shapes == [(int(kept.sum()),)] and made.shape == expected.shape and _close(made, expected)
    if right:
        setattr(output, _MARK, finish)
    else:
        log.warning("logits are held all at once: %s makes something of its own of them", type(model).__name__)
    return right


def finish_of(config: Any) -> Finish:
    """What the configuration says of logits: scaled (Cohere, Granite), capped (Gemma 2 and 3)."""
    times = float(getattr(config, "logit_scale", None) or 1.0)
    by = float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)

    def finish(numbers: torch.Tensor) -> torch.Tensor:
        scaled = numbers if times == by else numbers * (times / by)
        return torch.tanh(scaled / cap) * cap if cap else scaled

    return finish


def _close(made: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether they differ by rounding alone, be it in half precision."""
    return torch.allclose(made.float(), expected.float(), rtol=4 * torch.finfo(expected.dtype).eps)


@contextmanager
def _held_back(output: nn.Module, instead: torch.Tensor | None = None) -> Iterator[list[torch.Tensor]]:
    """Inside, the output layer notes what it is given and hands it on, or `instead` for each place."""
    caught: list[torch.Tensor] = []
    own = vars(output).get("forward")

    def note(hidden: torch.Tensor) -> torch.Tensor:
        caught.append(hidden)
        return hidden if instead is None else instead.to(hidden.dtype).expand(*hidden.shape[:-1], -1)

    output.forward = note
    try:
        yield caught
    finally:
        del output.forward
        if own is not None:
            output.forward = own


def _bare(model: Any) -> Any:
    """The model inside what distributes it."""
    while isinstance(getattr(model, "module", None), nn.Module):
        model = model.module
    return model


def _vocabulary(output: Any) -> int:
    """Numbers that the output layer gives for each place."""
    return int(output.out_features) if hasattr(output, "out_features") else len(output.weight)
