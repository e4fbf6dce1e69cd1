"""What a training would take, told before any hardware is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.training_service.admission import Admitted
from services.training_service.fitting import Machine, Need, need_of
from services.training_service.going_on import decided
from services.training_service.gpu_models import same_model
from services.training_service.lengths import Lengths, padding_share
from services.training_service.memory import trained_parameters
from services.training_service.notes import Note
from services.training_service.plan_notes import memory_notes, row_notes
from services.training_service.remedies import NeedFor, Remedy, fixed_part_is_too_large, remedies
from services.training_service.shortfalls import split_rows
from services.training_service.trainer.hyperparameters import Hyperparameters


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast trainings like this one ran on machines of a model."""

    model: str
    jobs: int
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The figures of a training. `training_s` is None while no rate was measured."""

    parameters: int
    trained_parameters: int
    train_rows: int
    eval_rows: int
    steps: int
    effective_batch: int
    need: Need
    fits: Sequence[tuple[Machine, bool]]
    tokens: int
    tokens_basis: Note
    padding_saved: float | None
    rate: Rate | None
    training_s: float | None
    training_basis: Note
    notes: Sequence[Note]
    remedies: Sequence[Remedy]


def optimizer_steps(hyperparameters: Hyperparameters, *, train_rows: int, processes: int) -> int:
    """How often the optimizer moves. The last step of an epoch takes the rows that are left."""
    if hyperparameters.max_steps > 0:
        return hyperparameters.max_steps
    per_step = effective_batch(hyperparameters, processes)
    return max(math.ceil(math.ceil(train_rows / per_step) * hyperparameters.num_train_epochs), 1)


def effective_batch(hyperparameters: Hyperparameters, processes: int) -> int:
    """Rows of an optimizer step over all devices."""
    rows = hyperparameters.per_device_train_batch_size * hyperparameters.gradient_accumulation_steps
    return rows * processes


def processes_of(admitted: Admitted, machines: Sequence[Machine]) -> int:
    """How many would train together on the largest of these machines."""
    return admitted.spec.processes or max((machine.gpus for machine in machines), default=0) or 1


def plan(admitted: Admitted, machines: Sequence[Machine], lengths: Lengths, rates: Sequence[Rate]) -> Plan:
    """Counts; `machines` are the workers that there are, `rates` what was measured on any."""
    spec, shape = admitted.spec, admitted.base.shape
    values, processes = spec.hyperparameters, processes_of(admitted, machines)
    train_rows, eval_rows = _rows_of(admitted)
    on_gpu = any(machine.gpus for machine in machines)

    def need_for(values: Hyperparameters, processes: int) -> Need:
        return need_of(shape, values, lengths, train_rows=train_rows, processes=processes, on_gpu=on_gpu)

    need = need_for(values, processes)
    fits = [(machine, machine.holds(need)) for machine in machines]
    proposed = _remedies(admitted, need, need_for, fits)
    steps = optimizer_steps(values, train_rows=train_rows, processes=processes)
    typical = lengths.typical(values)
    tokens = _tokens(lengths, typical, _trained_rows(values, train_rows, steps * effective_batch(values, processes)))
    rate = _fastest(rates, fits)
    return Plan(
        parameters=shape.parameters,
        trained_parameters=trained_parameters(shape, values),
        train_rows=train_rows,
        eval_rows=eval_rows,
        steps=steps,
        effective_batch=effective_batch(values, processes),
        need=need,
        fits=fits,
        tokens=tokens,
        tokens_basis=_lengths_basis(lengths),
        padding_saved=padding_share(typical, values, processes) if values.packing and typical else None,
        rate=rate,
        training_s=tokens / rate.tokens_per_second if rate else None,
        training_basis=_rate_basis(rate, fits),
        notes=[*admitted.notes, *row_notes(train_rows), *memory_notes(need, fits, proposed)],
        remedies=proposed,
    )


def need_without_gpus(admitted: Admitted, lengths: Lengths) -> Need:
    """What the training takes of a machine that has none."""
    values, processes = admitted.spec.hyperparameters, admitted.spec.processes or 1
    train_rows, _ = _rows_of(admitted)
    return need_of(admitted.base.shape, values, lengths, train_rows=train_rows, processes=processes, on_gpu=False)


def _rows_of(admitted: Admitted) -> tuple[int, int]:
    """Rows to train on, and to evaluate on."""
    if admitted.eval_rows is None:
        return split_rows(admitted.rows.rows, admitted.spec.hyperparameters.eval_split)
    return admitted.rows.rows, admitted.eval_rows.rows


def _remedies(
    admitted: Admitted, need: Need, need_for: NeedFor, fits: Sequence[tuple[Machine, bool]]
) -> Sequence[Remedy]:
    if not fits or any(fit for _, fit in fits):
        return []
    machines = [machine for machine, _ in fits]
    if fixed_part_is_too_large(need, machines):
        return []
    return remedies(admitted.spec.hyperparameters, need, need_for, machines, decided(admitted.spec))


def _trained_rows(values: Hyperparameters, train_rows: int, rows_of_steps: int) -> float:
    """Rows of all passes together."""
    return rows_of_steps if values.max_steps > 0 else train_rows * values.num_train_epochs


def _tokens(lengths: Lengths, typical: Sequence[int], rows: float) -> int:
    """`typical` stand for all rows; in continued pretraining a row may have become several."""
    return round(sum(typical) / lengths.drawn * rows) if typical else 0


def _fastest(rates: Sequence[Rate], fits: Sequence[tuple[Machine, bool]]) -> Rate | None:
    """The best rate that was measured on a machine like one that it fits."""
    models = [machine.model for machine, fit in fits if fit and machine.model]
    alike = [rate for rate in rates if any(same_model(model, rate.model) for model in models)]
    return max(alike, key=lambda rate: rate.tokens_per_second, default=None)


def _lengths_basis(lengths: Lengths) -> Note:
    if lengths.counted:
        return Note(en="counted with the base model's tokenizer", ja="ベースモデルのトークナイザーで数えた値")
    return Note(
        en="estimated from characters, one token each; `aift data tokens` counts them",
        ja="文字数からの概算（1 文字 1 トークン）。`aift data tokens` で正確に数えられます",
    )


def _rate_basis(rate: Rate | None, fits: Sequence[tuple[Machine, bool]]) -> Note:
    if rate:
        speed = f"{rate.tokens_per_second:,.0f}"
        return Note(
            en=f"measured: {speed} tokens/s over {rate.jobs} job(s) like this one on {rate.model}",
            ja=f"実測値: {rate.model} で同様のジョブ {rate.jobs} 件、{speed} トークン/秒",
        )
    names = ", ".join(dict.fromkeys(machine.model or machine.worker for machine, fit in fits if fit))
    if not names:
        return Note(en="unknown: it fits no machine", ja="不明: 収まるマシンがありません")
    return Note(
        en="unknown: no job with this base model, method, batch, length and number of processes has run long enough on "
        f"{names} yet",
        ja=f"不明: このベースモデル・手法・バッチ・長さ・プロセス数で十分に長く実行されたジョブは {names} にまだありません",
    )
