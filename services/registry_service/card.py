"""The model card of a version: what it is, where it came from, and what was measured. Japanese beside English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.registry_service.domain import BaseModel, ModelKind, NewVersion

_KINDS = {
    ModelKind.ADAPTER: ("adapter (PEFT)", "アダプター (PEFT)"),
    ModelKind.FULL: ("full weights", "全パラメーター"),
    ModelKind.MERGED: ("adapter merged into its base", "アダプターをマージしたモデル"),
}
_UNKNOWN = "unknown / 不明"


class CardWriter:
    """Writes cards of versions that stand on one base model, or on none."""

    def __init__(self, base: BaseModel | None) -> None:
        self._base = base

    def __call__(self, version: NewVersion, name: str) -> str:
        """The card as Markdown."""
        kind_en, kind_ja = _KINDS[version.kind]
        facts = {
            "Kind / 種類": f"{kind_en} / {kind_ja}",
            "Base model / ベースモデル": self._base_text(version),
            "Data set / データセット": _code(version.dataset_version) or _UNKNOWN,
            "Training job / 学習ジョブ": _code(version.training_job) or "imported / 取り込み",
            "Licence of the base / ベースのライセンス": version.licence or _UNKNOWN,
        }
        parts = [
            f"# {name}",
            *_section("Model / モデル", facts),
            *_section("Hyperparameters / ハイパーパラメーター", _codes(version.hyperparameters)),
            *_section("Metrics / 評価", _codes(version.metrics)),
        ]
        return "\n".join(parts) + "\n"

    def _base_text(self, version: NewVersion) -> str:
        if not version.base_model:
            return _UNKNOWN
        hub = f", {self._base.hub_id}@{self._base.hub_revision[:12]}" if self._base and self._base.hub_id else ""
        return f"{_code(version.base_model)}{hub} (sha256 {version.base_model_digest[:12]}…)"


def _section(title: str, facts: Mapping[str, str]) -> Iterable[str]:
    if not facts:
        return []
    lines = (f"| {_cell(name)} | {_cell(value)} |" for name, value in facts.items())
    return ["", f"## {title}", "", "| | |", "|---|---|", *lines]


def _codes(values: Mapping[str, Any]) -> dict[str, str]:
    return {f"`{name}`": _plain(value) for name, value in sorted(values.items())}


def _plain(value: Any) -> str:
    """A value for people: 16 for 16.0, four digits of what is not whole."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return str(value)


def _code(name: str) -> str:
    return f"`{name}`" if name else ""


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return text.replace("\n", " ").replace("|", "\\|")
