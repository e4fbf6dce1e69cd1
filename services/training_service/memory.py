"""How much memory a training takes on each device at its peak, by part.

Sources: parameters, gradients and AdamW's two moments per trained parameter: Rajbhandari et al. 2020, "ZeRO",
section 3.1. Activations a layer: Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer
Models", section 4, counted anew for gated feed-forward layers and attention that keeps no score matrix (Dao et al.
2022, "FlashAttention"). NF4 with double quantisation, 4.127 bits a parameter: Dettmers et al. 2023, "QLoRA",
section 3. Estimates, not promises: allocators round up and libraries keep buffers, which `overhead` stands for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.training_service.shape import ModelShape
from services.training_service.trainer.hyperparameters import Hyperparameters

_MIB = 1 << 20
_NF4_BYTES = 4.127 / 8
_FP32_BYTES = 4
# Two moments of AdamW in float32.
_OPTIMIZER_BYTES = 8
# Logits are turned into float32 for the loss and have a gradient. Only trained tokens have any; here all may be.
_LOGIT_COPIES_BYTES = 8
# CUDA context, kernels and the allocator's reserve; on a CPU Python with torch and transformers, measured on tiny-ja.
_OVERHEAD_BYTES = {True: 1024 * _MIB, False: 850 * _MIB}


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is in flight at once on a device: rows of a micro-batch, and tokens of the longest of them."""

    rows: int
    row_tokens: int
    processes: int
    on_gpu: bool

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch, at most."""
        return self.rows * self.row_tokens

    @property
    def number_bytes(self) -> int:
        """Bytes of a number in the forward pass: bfloat16 on a GPU, float32 on a CPU."""
        return 2 if self.on_gpu else _FP32_BYTES


def trained_parameters(shape: ModelShape, hyperparameters: Hyperparameters) -> int:
    """Parameters that the optimizer moves."""
    if hyperparameters.method == "full":
        return shape.parameters
    return shape.adapter_parameters(
        hyperparameters.lora_r, hyperparameters.lora_target_modules, magnitudes=hyperparameters.use_dora
    )


def estimate(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> Mapping[str, int]:
    """Peak bytes by part: weights, adapters, gradients, optimizer, activations, logits, overhead."""
    trained = trained_parameters(shape, hyperparameters)
    full = hyperparameters.method == "full"
    # Data-parallel ranks collect gradients in buckets beside them.
    gradient_copies = 2 if load.processes > 1 else 1
    return {
        "weights": _weights(shape, hyperparameters, load),
        "adapters": 0 if full else trained * _FP32_BYTES,
        "gradients": trained * _FP32_BYTES * gradient_copies,
        "optimizer": trained * _OPTIMIZER_BYTES,
        "activations": _activations(shape, hyperparameters, load),
        "logits": load.tokens * shape.vocabulary_size * (load.number_bytes + _LOGIT_COPIES_BYTES),
        "overhead": _OVERHEAD_BYTES[load.on_gpu],
    }


def _weights(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    if hyperparameters.method == "full":
        # Autocast keeps copies in half precision beside them.
        return shape.parameters * (_FP32_BYTES + (load.number_bytes if load.on_gpu else 0))
    if hyperparameters.method == "lora":
        return shape.parameters * load.number_bytes
    quantised = shape.layers * sum(linear.inputs * linear.outputs for linear in shape.linears())
    rest = max(shape.parameters - quantised, 0)
    return round(quantised * _NF4_BYTES) + rest * load.number_bytes


def _activations(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    """One layer keeps, a token: two inputs of norms and their outputs, queries and what attention gives, keys and
    values, and four tensors of the feed-forward layer."""
    layer = 4 * shape.hidden_size + 2 * shape.query_width + 2 * shape.key_value_width + 4 * shape.intermediate_size
    if hyperparameters.gradient_checkpointing:
        numbers = shape.layers * shape.hidden_size + layer
    else:
        numbers = shape.layers * layer
    return load.tokens * numbers * load.number_bytes
