"""What a base model's configuration says of its size: its linear layers, and how many parameters adapters add."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear layer that stands once in every decoder layer."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The numbers of a decoder; `dtype` is that of the stored weights."""

    architecture: str
    parameters: int
    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    head_size: int
    vocabulary_size: int
    max_context_tokens: int
    tied_embeddings: bool
    dtype: str

    @property
    def query_width(self) -> int:
        """Width of all heads together."""
        return self.attention_heads * self.head_size

    @property
    def key_value_width(self) -> int:
        """Width of all key heads together; the value heads have the same."""
        return self.key_value_heads * self.head_size

    @property
    def largest_weight(self) -> int:
        """Numbers of the largest weight: the embeddings, or a linear layer."""
        embeddings = self.vocabulary_size * self.hidden_size
        return max(embeddings, *(linear.inputs * linear.outputs for linear in self.linears()))

    def linears(self) -> Sequence[Linear]:
        """The linear layers of one decoder layer under the names that the architecture gives them."""
        hidden, inner = self.hidden_size, self.intermediate_size
        if self.architecture.startswith("GPT2"):
            return _fused(("c_attn", "c_proj", "c_fc", "c_proj"), hidden, inner)
        if self.architecture.startswith("GPTNeoX"):
            return _fused(("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"), hidden, inner)
        return (
            Linear(name="q_proj", inputs=hidden, outputs=self.query_width),
            Linear(name="k_proj", inputs=hidden, outputs=self.key_value_width),
            Linear(name="v_proj", inputs=hidden, outputs=self.key_value_width),
            Linear(name="o_proj", inputs=self.query_width, outputs=hidden),
            Linear(name="gate_proj", inputs=hidden, outputs=inner),
            Linear(name="up_proj", inputs=hidden, outputs=inner),
            Linear(name="down_proj", inputs=inner, outputs=hidden),
        )

    def targets(self, names: Sequence[str]) -> Sequence[Linear]:
        """The linear layers that get adapters; no names means all of them."""
        return [linear for linear in self.linears() if not names or linear.name in set(_last_parts(names))]

    def unmatched(self, names: Sequence[str]) -> Sequence[str]:
        """Those of the names that no linear layer bears."""
        known = {linear.name for linear in self.linears()}
        return [name for name in names if name.rpartition(".")[2] not in known]

    def adapter_parameters(self, rank: int, names: Sequence[str], *, magnitudes: bool) -> int:
        """Parameters that LoRA adds: rank × (inputs + outputs) a layer, with DoRA one magnitude an output more.

        Hu et al. 2021, "LoRA", section 4.1; Liu et al. 2024, "DoRA", section 4.
        """
        one = sum(
            rank * (linear.inputs + linear.outputs) + (linear.outputs if magnitudes else 0)
            for linear in self.targets(names)
        )
        return self.layers * one

    def smallest_side(self, names: Sequence[str]) -> Linear | None:
        """The target whose shorter side bounds the rank; None where nothing matches."""
        return min(self.targets(names), key=lambda linear: min(linear.inputs, linear.outputs), default=None)


def _last_parts(names: Sequence[str]) -> Iterator[str]:
    return (name.rpartition(".")[2] for name in names)


def _fused(names: Sequence[str], hidden: int, inner: int) -> Sequence[Linear]:
    """Attention with one matrix for query, key and value, and a feed-forward part without gate."""
    sides = ((hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden))
    return tuple(
        Linear(name=name, inputs=inputs, outputs=outputs) for name, (inputs, outputs) in zip(names, sides, strict=True)
    )
