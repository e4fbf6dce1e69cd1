"""Training that goes on from a trained version: what must fit, and what the version decides."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from aift.training.v1 import training_pb2 as pb

from services.core.errors import Violation
from services.training_service.domain import Spec
from services.training_service.errors import SpecDoesNotFit
from services.training_service.resolution import ResolvedBase, ResolvedStart
from services.training_service.trainer.hyperparameters import Hyperparameters

_DECIDED: Mapping[str, Callable[[Any], Any]] = {
    "lora_r": int,
    "lora_alpha": float,
    "lora_target_modules": tuple,
    "use_rslora": bool,
    "use_dora": bool,
}
"""What an adapter is made of, which it keeps. In the registry's JSON all numbers are floats."""


def going_on(
    start: ResolvedStart,
    base: ResolvedBase,
    hyperparameters: Hyperparameters,
    wanted: pb.Hyperparameters,
    *,
    path: str,
) -> Hyperparameters:
    """The hyperparameters with those of the version's adapter. Raises SpecDoesNotFit with everything that does not fit."""
    kept = _kept(start) if start.is_adapter else {}
    misfits = [
        *_other_base(start, base, path),
        *_other_method(start, hyperparameters, path),
        *_other_adapter(start, kept, hyperparameters, wanted, path),
    ]
    if misfits:
        raise SpecDoesNotFit(misfits)
    return replace(hyperparameters, **kept)


def decided(spec: Spec) -> Collection[str]:
    """Names of the hyperparameters that the version which an admitted spec goes on from leaves no choice of."""
    if not spec.start_from:
        return ()
    return ("method",) if spec.hyperparameters.method == "full" else _DECIDED.keys()


def _kept(start: ResolvedStart) -> dict[str, Any]:
    given = start.hyperparameters
    return {name: kind(given[name]) for name, kind in _DECIDED.items() if name in given}


def _other_base(start: ResolvedStart, base: ResolvedBase, path: str) -> Iterator[Violation]:
    # Equal digests are the same model, whatever it is called.
    if base.digest != start.base_model_digest:
        yield Violation(
            f"{path}.start_from",
            "OTHER_BASE_MODEL",
            f"{start.name} was trained on {start.base_model} (digest {start.base_model_digest[:12]}), not on {base.name}"
            f" (digest {base.digest[:12]}). Choose that base model.",
            f"{start.name} は {start.base_model}（ダイジェスト {start.base_model_digest[:12]}）を元に学習されています。"
            f"{base.name}（{base.digest[:12]}）とは異なります。同じベースモデルを指定してください。",
        )


def _other_method(start: ResolvedStart, hyperparameters: Hyperparameters, path: str) -> Iterator[Violation]:
    if start.is_adapter == (hyperparameters.method != "full"):
        return
    kind, methods = ("an adapter", "LORA or QLORA") if start.is_adapter else ("all weights", "FULL")
    kind_ja, methods_ja = ("アダプター", "LORA または QLORA") if start.is_adapter else ("全パラメータ", "FULL")
    yield Violation(
        f"{path}.hyperparameters.method",
        "OTHER_KIND",
        f"{start.name} holds {kind}, which goes on with method {methods}, not {hyperparameters.method.upper()}.",
        f"{start.name} は{kind_ja}です。method には {methods_ja} を指定してください"
        f"（指定値: {hyperparameters.method.upper()}）。",
    )


def _other_adapter(
    start: ResolvedStart,
    kept: dict[str, Any],
    hyperparameters: Hyperparameters,
    wanted: pb.Hyperparameters,
    path: str,
) -> Iterator[Violation]:
    asked = {field.name for field, _ in wanted.ListFields()}
    for name, value in kept.items():
        given = getattr(hyperparameters, name)
        if name in asked and given != value:
            yield Violation(
                f"{path}.hyperparameters.{name}",
                "DECIDED_BY_ADAPTER",
                f"Is {given}, but the adapter of {start.name} has {value} and keeps it; leave it out.",
                f"値 {given} は {start.name} のアダプターの {value} と異なります。指定を外してください。",
            )
