"""How much memory a training takes on each device at its peak, by part.

Sources: parameters, gradients and AdamW's two moments per trained parameter: Rajbhandari et al. 2020, "ZeRO", section
3.1; moments in 8 bits: Dettmers et al. 2021, "8-bit Optimizers via Block-wise Quantization". Activations a layer:
counted as Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", section 4, do, for
gated feed-forward layers and attention that keeps no score matrix (Dao et al. 2022, "FlashAttention"); a mask, where
attention needs one, is held in both its forms. NF4 with double quantisation, 4.127 bits a parameter: Dettmers et al.
2023, "QLoRA", section 3. What DeepSpeed shares out: Rajbhandari et al. 2020, section 5, and its configuration
(`deepspeed_config`).

`python -m benchmarks.plan_memory` prints how far all this is from measured peaks. Estimates, not promises: allocators
round up and libraries keep buffers, which `overhead` stands for. What a GPU's training offloads to the machine's memory
is `offloaded_bytes`, what any offloads to a disk `on_disk_bytes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.training_service.deepspeed_config import BUCKET_NUMBERS, BUFFERS, GROUP_NUMBERS_ON_DISK, LIVE_NUMBERS
from services.training_service.shape import ModelShape
from services.training_service.trainer import logits, masks
from services.training_service.trainer.hyperparameters import Hyperparameters

_MIB = 1 << 20
_NF4_BYTES = 4.127 / 8
_FP32_BYTES = 4
# Two moments of AdamW in float32.
_OPTIMIZER_BYTES = 8
# Two moments in 8 bits with a scale for each 256 of them; sums of rows and columns, which are few; none.
_MOMENT_BYTES: Mapping[str, float] = {
    "adamw_bnb_8bit": 2 + 2 * 4 / 256,
    "paged_adamw_8bit": 2 + 2 * 4 / 256,
    "adafactor": 0,
    "sgd": 0,
}
# Logits are turned into float32 for the loss and have a gradient. Only trained tokens have any; here all may be.
_LOGIT_COPIES_BYTES = 8
# CUDA context, kernels and the allocator's reserve; on a CPU Python with torch and transformers, measured on tiny-ja.
OVERHEAD_BYTES = {True: 1024 * _MIB, False: 850 * _MIB}


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
    return {
        **_held(shape, hyperparameters, load, trained),
        "activations": _activations(shape, hyperparameters, load),
        "logits": _logits(shape, hyperparameters, load),
        "overhead": OVERHEAD_BYTES[load.on_gpu],
    }


def _logits(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    """A chunk of them (trainer/head.py); all where the output layer is shared out, which is not taken in chunks."""
    numbers = load.tokens * shape.vocabulary_size
    at_once = numbers if hyperparameters.deepspeed_stage == 3 else min(numbers, logits.AT_ONCE)
    return at_once * (load.number_bytes + _LOGIT_COPIES_BYTES)


def offloaded_bytes(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    """What all ranks together move from GPUs into the memory of their machine."""
    moved = 0
    if not load.on_gpu:
        return 0
    if hyperparameters.offload_optimizer == "cpu":
        moved += _optimizer_elsewhere(shape, hyperparameters)
    if hyperparameters.offload_param == "cpu":
        moved += _weights(shape, hyperparameters, load)
    return moved + load.processes * sum(_buffers(shape, hyperparameters, load).values())


def on_disk_bytes(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    """What all ranks together move to a disk."""
    moved = 0
    if hyperparameters.offload_optimizer == "nvme":
        moved += _optimizer_elsewhere(shape, hyperparameters)
    if hyperparameters.offload_param == "nvme":
        moved += _weights_in_parts(shape, hyperparameters, load)
    return moved


def _optimizer_elsewhere(shape: ModelShape, hyperparameters: Hyperparameters) -> int:
    """Moments and masters, and gradients in fp32 beside them."""
    return trained_parameters(shape, hyperparameters) * (_OPTIMIZER_BYTES + 2 * _FP32_BYTES)


def _buffers(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> Mapping[str, int]:
    """The machine's memory through which a rank's share comes from a disk."""
    share = shape.largest_weight // load.processes
    group = min(
        trained_parameters(shape, hyperparameters) // load.processes,
        GROUP_NUMBERS_ON_DISK + (share if hyperparameters.method == "full" else 0),
    )
    return {
        "weights": BUFFERS * share * load.number_bytes if hyperparameters.offload_param == "nvme" else 0,
        "optimizer": BUFFERS * group * _FP32_BYTES if hyperparameters.offload_optimizer == "nvme" else 0,
    }


def _held(shape: ModelShape, hyperparameters: Hyperparameters, load: Load, trained: int) -> Mapping[str, int]:
    """Weights, adapters, gradients and optimizer."""
    full = hyperparameters.method == "full"
    if hyperparameters.deepspeed_stage:
        return _shared_out(shape, hyperparameters, load, trained)
    # Data-parallel ranks collect gradients in buckets beside them.
    gradient_copies = 2 if load.processes > 1 else 1
    return {
        "weights": _weights(shape, hyperparameters, load),
        "adapters": 0 if full else trained * _FP32_BYTES,
        "gradients": trained * _FP32_BYTES * gradient_copies,
        "optimizer": round(trained * _MOMENT_BYTES.get(hyperparameters.optim, _OPTIMIZER_BYTES)),
    }


def _shared_out(shape: ModelShape, hyperparameters: Hyperparameters, load: Load, trained: int) -> Mapping[str, int]:
    """The same of a rank of several that DeepSpeed shares it out among. fp32 masters count as the optimizer's."""
    stage, ranks, number = hyperparameters.deepspeed_stage, load.processes, load.number_bytes
    away = ("cpu", "nvme") if load.on_gpu else ("nvme",)
    full, optimizer_away, weights_away = (
        hyperparameters.method == "full",
        hyperparameters.offload_optimizer in away,
        hyperparameters.offload_param in away,
    )
    # Those of a GPU's training lie in its machine's memory.
    buffers = {} if load.on_gpu else _buffers(shape, hyperparameters, load)
    weights = _weights_in_parts(shape, hyperparameters, load)
    if stage == 3:
        # Of weights in 4 bits a number is a byte. What comes from a disk is used a weight at a time.
        most = shape.largest_weight if hyperparameters.offload_param == "nvme" else LIVE_NUMBERS
        live = min(weights, most * (1 if hyperparameters.method == "qlora" else number))
        weights = live + (buffers.get("weights", 0) if weights_away else weights // ranks)
    bucket = min(trained, BUCKET_NUMBERS) * number
    gradients = trained * number // (ranks if stage > 1 else 1)
    return {
        "weights": weights,
        "adapters": 0 if full else trained * number // (ranks if stage == 3 else 1),
        "gradients": bucket + (0 if stage > 1 and optimizer_away else gradients),
        "optimizer": buffers.get("optimizer", 0)
        if optimizer_away
        else trained * (_OPTIMIZER_BYTES + _FP32_BYTES) // ranks,
    }


def _weights_in_parts(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    """All weights as DeepSpeed shares them out, which keeps their fp32 masters with the optimizer."""
    if hyperparameters.method == "full":
        return shape.parameters * load.number_bytes
    return _weights(shape, hyperparameters, load)


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
    """What all layers keep for the backward pass, or with recomputation one of them and the inputs of all; what passes
    through one layer backward; and the mask."""
    kept = shape.layers * (
        shape.hidden_size if hyperparameters.gradient_checkpointing else _kept(shape, hyperparameters, load)
    )
    again = _kept(shape, hyperparameters, load) if hyperparameters.gradient_checkpointing else 0
    # Gradients of the four tensors of a feed-forward layer; adapters add their share to a layer's output in two steps.
    passing = (4 if hyperparameters.method == "full" else 7) * shape.intermediate_size
    return load.tokens * (kept + again + passing) * load.number_bytes + _mask(shape, hyperparameters, load)


def _kept(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    """Numbers that one layer keeps, a token, counted in transformers' Llama: inputs and outputs of both norms, and where
    norms are trained what they scale; on a GPU their inputs are float32. Queries, keys and values, the latter two
    repeated for all heads; what attention gives, and a copy of it in order; four tensors of the feed-forward layer."""
    norm = (3 if load.on_gpu else 2) + (1 if hyperparameters.method == "full" else 0)
    return 2 * norm * shape.hidden_size + 5 * shape.query_width + 4 * shape.intermediate_size


def _mask(shape: ModelShape, hyperparameters: Hyperparameters, load: Load) -> int:
    """Which token sees which, as booleans and as numbers that attention adds. Packed rows mostly need none: attention
    takes them apart (trainer/attention.py), on CPUs, on GPUs and under ZeRO-3 alike."""
    packed = hyperparameters.packing and not hyperparameters.neftune_noise_alpha
    if packed and shape.architecture not in masks.BLOCK_MASKED:
        return 0
    pairs = load.tokens**2 if packed else load.rows * load.row_tokens**2
    return pairs * (1 + load.number_bytes)
