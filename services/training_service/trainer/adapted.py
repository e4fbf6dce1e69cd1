"""Plain LoRA layers counted in one go.

peft adds `lora_B(lora_A(x)) * scaling` to what the frozen layer gives: two more passes over the layer's output forward,
two over its gradient and its input's backward. Here the products are added in place by the multiplication itself; with
small models on a CPU, where those passes cost as much as the products, a step takes a sixth less time. The numbers are
peft's within rounding, and so are the parameters, which stay where peft keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional


class _Adapted(torch.autograd.Function):
    """x W' + bias + scale (x A') B', of which A and B are trained and W is not."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        first: torch.Tensor,
        second: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        inner = flat @ first.t()  # [places, rank]
        out = functional.linear(flat, weight, bias).addmm_(inner, second.t(), alpha=scale)
        ctx.save_for_backward(flat, inner, weight, first, second)
        ctx.scale = scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, inner, weight, first, second = ctx.saved_tensors
        given = gradients[0].reshape(-1, gradients[0].shape[-1])
        inwards = (given @ second).mul_(ctx.scale)  # [places, rank]
        to_second = given.t() @ inner.mul(ctx.scale)
        to_x = (given @ weight).addmm_(inwards, first) if ctx.needs_input_grad[0] else None
        shaped = to_x.view(*gradients[0].shape[:-1], -1) if to_x is not None else None
        return shaped, None, None, inwards.t() @ flat, to_second, None


def speed_up(model: Any) -> int:
    """Takes over the layers that it can and returns how many: frozen fp32 layers with one plain adapter, no dropout."""
    from peft.tuners import lora

    layers = [layer for layer in model.modules() if type(layer) is lora.Linear and _is_plain(layer)]
    for layer in layers:
        layer.forward = partial(_forward, layer, layer.forward)
    return len(layers)


def _is_plain(layer: Any) -> bool:
    base, names = layer.get_base_layer(), layer.active_adapters
    if type(base) is not nn.Linear or base.weight.requires_grad or len(names) != 1 or layer.lora_variant:
        return False
    (name,) = names
    dropless = isinstance(layer.lora_dropout[name], nn.Identity) and not layer.lora_bias[name]
    weights = (base.weight, layer.lora_A[name].weight, layer.lora_B[name].weight)
    return dropless and all(weight.dtype == torch.float32 for weight in weights)


def _forward(layer: Any, plain: Callable[..., torch.Tensor], x: torch.Tensor, **options: Any) -> torch.Tensor:
    mixed = x.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type)
    if mixed or options or layer.disable_adapters or layer.merged:
        return plain(x, **options)
    base, (name,) = layer.get_base_layer(), layer.active_adapters
    first, second = layer.lora_A[name].weight, layer.lora_B[name].weight
    found = _Adapted.apply(x, base.weight, base.bias, first, second, layer.scaling[name])  # type: ignore[no-untyped-call]
    return cast(torch.Tensor, found)
