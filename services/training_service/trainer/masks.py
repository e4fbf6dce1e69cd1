"""Which models need a mask that tells packed rows apart. Apart, since plans count with it and import no torch."""

BLOCK_MASKED = frozenset({"Gemma2ForCausalLM", "StableLmForCausalLM"})
"""Architectures that cap attention scores, or do not hand the layout of rows down to attention: without flash attention
they see packed rows through a block mask (`attention.for_packed`, `model.prove_packing`)."""
