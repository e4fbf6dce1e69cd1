"""Whether a job may be accepted, and what exactly it then is: names resolved, digests pinned, defaults filled in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aift.training.v1 import training_pb2 as pb

from services.core import names
from services.core.errors import InvalidArgument, Violation
from services.text.rows import Form
from services.training_service import messages
from services.training_service.domain import Spec
from services.training_service.errors import SpecDoesNotFit
from services.training_service.going_on import going_on
from services.training_service.labels import label_notes
from services.training_service.notes import Note
from services.training_service.resolution import ResolvedBase, ResolvedRows, ResolvedStart, Resolver
from services.training_service.shortfalls import cut_away, shortfalls
from services.training_service.trainer.hyperparameters import Hyperparameters, Objective

_MAX_PROMPTS = 10
_MAX_PROMPT_CHARS = 4000
_MAX_PROCESSES = 64
_OF_ADAPTERS = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "use_rslora", "use_dora")
_DEFAULTS = Hyperparameters()
_FORMS: dict[Objective, tuple[Form, ...]] = {
    "pretraining": (Form.TEXT,),
    "dpo": (Form.PREFERENCE,),
    "orpo": (Form.PREFERENCE,),
    "kto": (Form.LABELED, Form.PREFERENCE),
    "sft": tuple(form for form in Form if form not in (Form.PREFERENCE, Form.LABELED)),
}
_FROM_BASE = ResolvedStart(
    name="", digest="", is_adapter=False, base_model="", base_model_digest="", hyperparameters={}
)


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A spec that holds, with what it was resolved to."""

    spec: Spec
    base: ResolvedBase
    rows: ResolvedRows
    eval_rows: ResolvedRows | None
    # What to know, though it is accepted.
    notes: Sequence[Note] = ()


async def admit(
    resolver: Resolver, wanted: pb.TrainingSpec, workers: Sequence[pb.MachineStatus], *, path: str
) -> Admitted:
    """Checks a spec and resolves it. `path` names it in errors; `workers` are those that could run it.

    Raises InvalidArgument, SpecDoesNotFit, BaseModelNotReady, and what the other services say of the names.
    """
    hyperparameters = messages.hyperparameters_from(wanted.hyperparameters, path=f"{path}.hyperparameters")
    violations = [*_fields(wanted, path), *_adapters_of_full(hyperparameters, f"{path}.hyperparameters")]
    if violations:
        raise InvalidArgument(violations)
    start = await _start(resolver, wanted, path)
    base = await resolver.base_model(wanted.base_model or start.base_model, field=f"{path}.base_model")
    if start is not _FROM_BASE:
        hyperparameters = going_on(start, base, hyperparameters, wanted.hyperparameters, path=path)
    if not wanted.hyperparameters.HasField("max_length"):
        hyperparameters = _within_context(hyperparameters, base)
    rows = await resolver.rows(wanted.dataset_version, field=f"{path}.dataset_version")
    held_out = await _eval_rows(resolver, wanted, path)
    misfits = [
        *_misfits(hyperparameters, base, path),
        *_other_rows(hyperparameters.objective, rows, f"{path}.dataset_version"),
        *(_other_rows(hyperparameters.objective, held_out, f"{path}.eval_dataset_version") if held_out else ()),
        *shortfalls(hyperparameters, wanted, rows, held_out, workers, path),
    ]
    if not misfits:
        misfits = await cut_away(resolver, hyperparameters, rows, base, path)
    if misfits:
        raise SpecDoesNotFit(misfits)
    spec = Spec(
        base_model=base.name,
        base_model_digest=base.digest,
        dataset_version=rows.name,
        dataset_digest=rows.sha256,
        eval_dataset_version=held_out.name if held_out else "",
        eval_dataset_digest=held_out.sha256 if held_out else "",
        hyperparameters=hyperparameters,
        model=wanted.model or default_model(hyperparameters.method, datetime.now(UTC)),
        start_from=start.name,
        start_from_digest=start.digest,
        sample_prompts=tuple(wanted.sample_prompts),
        processes=wanted.processes,
    )
    notes = await label_notes(resolver, rows, hyperparameters.objective)
    return Admitted(spec=spec, base=base, rows=rows, eval_rows=held_out, notes=notes)


def forms_of(objective: Objective) -> tuple[Form, ...]:
    """The forms of rows that an objective learns from. The trainer and the page say the same, which tests compare."""
    return _FORMS[objective]


def default_model(method: str, now: datetime) -> str:
    """The manual's name for a result: lora-demo-YYYYMMDD-HHMMSS."""
    return f"models/{method}-demo-{now:%Y%m%d-%H%M%S}"


async def _start(resolver: Resolver, wanted: pb.TrainingSpec, path: str) -> ResolvedStart:
    if not wanted.start_from:
        return _FROM_BASE
    return await resolver.start(wanted.start_from, field=f"{path}.start_from")


async def _eval_rows(resolver: Resolver, wanted: pb.TrainingSpec, path: str) -> ResolvedRows | None:
    if not wanted.eval_dataset_version:
        return None
    return await resolver.rows(wanted.eval_dataset_version, field=f"{path}.eval_dataset_version")


def _fields(wanted: pb.TrainingSpec, path: str) -> Iterator[Violation]:
    if wanted.model and not names.matches("models/{model}", wanted.model):
        yield Violation(
            f"{path}.model",
            "INVALID_NAME",
            f"Is {wanted.model[:80]!r}; write models/ and a name of lower-case letters, digits and inner hyphens, or leave it "
            "empty.",
            f"{wanted.model[:80]!r} は使えません。models/ に続けて半角の英小文字・数字・途中のハイフンで指定するか、"
            "空にしてください。",
        )
    yield from _prompts(wanted.sample_prompts, f"{path}.sample_prompts")
    if not 0 <= wanted.processes <= _MAX_PROCESSES:
        yield Violation(
            f"{path}.processes",
            "OUT_OF_RANGE",
            f"Is {wanted.processes}; choose 0 (one per GPU) to {_MAX_PROCESSES}.",
            f"値 {wanted.processes} は範囲外です。0 (GPU ごとに 1) から {_MAX_PROCESSES} で指定してください。",
        )


def _prompts(prompts: Sequence[str], field: str) -> Iterator[Violation]:
    if len(prompts) > _MAX_PROMPTS:
        yield Violation(
            field,
            "TOO_MUCH",
            f"Has {len(prompts)} prompts; give at most {_MAX_PROMPTS}.",
            f"プロンプトが {len(prompts)} 個あります。{_MAX_PROMPTS} 個までにしてください。",
        )
    for index, prompt in enumerate(prompts[:_MAX_PROMPTS]):
        if len(prompt) > _MAX_PROMPT_CHARS:
            yield Violation(
                f"{field}[{index}]",
                "TOO_MUCH",
                f"Has {len(prompt)} characters; write at most {_MAX_PROMPT_CHARS}.",
                f"{len(prompt)} 文字あります。{_MAX_PROMPT_CHARS} 文字までにしてください。",
            )


def _adapters_of_full(hyperparameters: Hyperparameters, path: str) -> Iterator[Violation]:
    """Settings of adapters where there are none. Defaults are in every resolved spec, and no wish of anyone's."""
    if hyperparameters.method != "full":
        return
    for name in _OF_ADAPTERS:
        value = getattr(hyperparameters, name)
        if value != getattr(_DEFAULTS, name):
            shown = ", ".join(value) if isinstance(value, tuple) else value
            yield Violation(
                f"{path}.{name}",
                "NOT_WITH_FULL",
                f"Is {shown}, but method FULL trains all weights and has no adapters; leave it out, or choose LORA or QLORA.",
                f"値 {shown} は method が FULL のときは使えません。指定を外すか、LORA または QLORA を選んでください。",
            )


def _within_context(hyperparameters: Hyperparameters, base: ResolvedBase) -> Hyperparameters:
    """The default length, or all that the model takes where that is less: only a length of one's own is refused."""
    longest = base.shape.max_context_tokens
    if not 0 < longest < hyperparameters.max_length:
        return hyperparameters
    return replace(hyperparameters, max_length=longest)


def _misfits(hyperparameters: Hyperparameters, base: ResolvedBase, path: str) -> Iterator[Violation]:
    shape, prefix = base.shape, f"{path}.hyperparameters"
    longest = shape.max_context_tokens
    if 0 < longest < hyperparameters.max_length:
        yield Violation(
            f"{prefix}.max_length",
            "LONGER_THAN_CONTEXT",
            f"Is {hyperparameters.max_length}, but {base.name} takes at most {longest} tokens.",
            f"値 {hyperparameters.max_length} は {base.name} の上限 {longest} トークンを超えています。",
        )
    if hyperparameters.method == "full":
        return
    unmatched = shape.unmatched(hyperparameters.lora_target_modules)
    if unmatched:
        known = ", ".join(dict.fromkeys(linear.name for linear in shape.linears()))
        yield Violation(
            f"{prefix}.lora_target_modules",
            "NO_SUCH_LAYER",
            f"{unmatched[0]!r} matches no layer; the model has {known}.",
            f"{unmatched[0]!r} に一致する層がありません。使える層: {known}。",
        )
    narrow = shape.smallest_side(hyperparameters.lora_target_modules)
    if narrow is not None and hyperparameters.lora_r > min(narrow.inputs, narrow.outputs):
        side = min(narrow.inputs, narrow.outputs)
        yield Violation(
            f"{prefix}.lora_r",
            "RANK_ABOVE_LAYER",
            f"Is {hyperparameters.lora_r}, above the width {side} of {narrow.name}; use at most {side}.",
            f"値 {hyperparameters.lora_r} は {narrow.name} の幅 {side} を超えています。{side} 以下にしてください。",
        )


def _other_rows(objective: Objective, rows: ResolvedRows, field: str) -> Iterator[Violation]:
    """Rows of a form that the objective does not learn from."""
    forms = forms_of(objective)
    if rows.form not in forms:
        shown = ", ".join(form.upper() for form in forms)
        yield Violation(
            field,
            "OBJECTIVE_MISMATCH",
            f"{rows.name} has rows of the form {rows.form.upper()}; objective {objective.upper()} learns from {shown}.",
            f"{rows.name} の行は {rows.form.upper()} 形式です。objective {objective.upper()} には {shown} 形式が必要です。",
        )
