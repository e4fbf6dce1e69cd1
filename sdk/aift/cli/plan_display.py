"""What `aift plan` shows."""

from aift.cli.output import brief, facts, in_binary_bytes, in_time, out, table
from aift.hyperparameters import as_settings
from aift.language import localized, text
from aift.training.v1 import training_pb2


def _saved(found: training_pb2.TrainingPlan) -> str:
    if not found.HasField("padding_saved"):
        return text("not packed", "詰め込みなし")
    return text(f"{found.padding_saved:.0%} of padded batches", f"パディング付きバッチの {found.padding_saved:.0%}")


def _time(found: training_pb2.TrainingPlan) -> str:
    basis = localized(found.training_time_basis)
    return f"{in_time(found.training_time.seconds)} ({basis})" if found.HasField("training_time") else basis


def render_plan(found: training_pb2.TrainingPlan) -> None:
    """Figures, memory by part, fits, notes and remedies."""
    settings = as_settings(found.spec.hyperparameters)
    share = found.trainable_parameters / found.parameters if found.parameters else 0
    facts(
        [
            (text("base model", "ベースモデル"), found.spec.base_model),
            (text("data", "データ"), found.spec.dataset_version),
            (text("parameters", "パラメータ数"), f"{found.parameters:,}"),
            (text("trained", "学習対象"), f"{found.trainable_parameters:,} ({share:.1%})"),
            (
                text("rows", "行数"),
                text(
                    f"{found.train_rows:,} + {found.eval_rows:,} held out",
                    f"学習 {found.train_rows:,}・評価 {found.eval_rows:,}",
                ),
            ),
            (
                text("steps", "ステップ数"),
                text(
                    f"{found.steps:,} of {found.effective_batch_size:,} rows",
                    f"{found.steps:,}(1 ステップ {found.effective_batch_size:,} 行)",
                ),
            ),
            (text("tokens", "トークン数"), f"{found.tokens:,} ({localized(found.tokens_basis)})"),
            (text("padding saved", "省けるパディング"), _saved(found)),
            (text("time", "学習時間"), _time(found)),
            (text("memory", "メモリ"), in_binary_bytes(found.memory_bytes)),
        ]
    )
    out().print(table(("", ""), ((f"  {part.part}", in_binary_bytes(part.size_bytes)) for part in found.memory)))
    for fit in found.fits:
        verdict = text("fits", "収まります") if fit.fits else text("does not fit", "収まりません")
        out().print(
            f"{fit.worker}: {verdict} ({in_binary_bytes(fit.available_bytes)})", style="green" if fit.fits else "red"
        )
    for note in found.notes:
        out().print(f"- {localized(note)}", markup=False)
    for remedy in found.remedies:
        out().print(f"  {localized(remedy.message)}", markup=False)
    if found.remedies and found.remedies[-1].fits:
        out().print(text("  aift train --fit applies them.", "  aift train --fit で適用できます。"), markup=False)
    out().print(" ".join(f"{name}={brief(value)}" for name, value in settings.items()), style="dim", markup=False)
