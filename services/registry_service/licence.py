"""The licence that a model card states in the YAML between its first two lines of dashes."""

from __future__ import annotations

from typing import Any

import yaml

MAX_CARD_BYTES = 64 << 10
_MAX_CHARS = 100


def licence_in(card: str) -> str:
    """Such as "apache-2.0", or the licence's own name where the card says "other"; empty when it states none."""
    head = _front_matter(card)
    named = head.get("license", head.get("licence"))
    licences = named if isinstance(named, list) else [named]
    text = ", ".join(str(one) for one in licences if isinstance(one, str))
    if text == "other" and isinstance(head.get("license_name"), str):
        text = head["license_name"]
    return "".join(c for c in text if c.isprintable())[:_MAX_CHARS]


def _front_matter(card: str) -> dict[str, Any]:
    """The card's YAML; empty when it has none or it cannot be read, which is no reason to refuse a model."""
    lines = card.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        return {}
    try:
        value = yaml.safe_load("\n".join(lines[1:end]))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
