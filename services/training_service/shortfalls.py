"""What a job lacks: rows to train and to evaluate on, libraries, disks, GPUs. Told before any hardware is taken."""

from collections.abc import Iterator, Sequence

from aift.training.v1 import training_pb2 as pb

from services.core.errors import Violation
from services.training_service.disk_offload import not_offered
from services.training_service.fitting import Need
from services.training_service.memory import OVERHEAD_BYTES
from services.training_service.notes import in_bytes
from services.training_service.resolution import ResolvedBase, ResolvedRows, Resolver
from services.training_service.trainer.hyperparameters import Hyperparameters


def split_rows(rows: int, eval_split: float) -> tuple[int, int]:
    """How many rows are trained on and how many are held out, as the trainer splits them."""
    if eval_split <= 0 or rows < 1:
        return rows, 0
    held_out = min(rows - 1, max(1, round(rows * eval_split)))
    return rows - held_out, held_out


def shortfalls(
    hyperparameters: Hyperparameters,
    wanted: pb.TrainingSpec,
    rows: ResolvedRows,
    held_out: ResolvedRows | None,
    workers: Sequence[pb.MachineStatus],
    path: str,
) -> Iterator[Violation]:
    """Everything that is known without looking into the rows."""
    yield from _too_few_rows(hyperparameters, rows, held_out, path)
    yield from _no_evaluation(hyperparameters, wanted.hyperparameters, rows, held_out, path)
    yield from _not_installed(hyperparameters, workers, path)
    yield from not_offered(hyperparameters, workers, path)
    yield from _too_many_processes(wanted.processes, workers, path)


def _too_few_rows(
    hyperparameters: Hyperparameters, rows: ResolvedRows, held_out: ResolvedRows | None, path: str
) -> Iterator[Violation]:
    """Nothing is left to train on."""
    train = rows.rows if held_out else split_rows(rows.rows, hyperparameters.eval_split)[0]
    if train < 1:
        yield Violation(
            f"{path}.dataset_version",
            "NO_ROWS",
            f"{rows.name} has {rows.rows} row(s), none of which is left to train on.",
            f"{rows.name} は {rows.rows} 行で、学習に使える行が残りません。",
        )


def _no_evaluation(
    hyperparameters: Hyperparameters,
    asked: pb.Hyperparameters,
    rows: ResolvedRows,
    held_out: ResolvedRows | None,
    path: str,
) -> Iterator[Violation]:
    """An evaluation was asked for, and there are no rows for it."""
    if held_out:
        if held_out.rows < 1:
            yield Violation(
                f"{path}.eval_dataset_version",
                "NO_ROWS",
                f"{held_out.name} has no rows to evaluate on.",
                f"{held_out.name} には評価に使える行がありません。",
            )
        return
    wanted = hyperparameters.eval_steps or (asked.HasField("eval_split") and asked.eval_split > 0)
    if wanted and rows.rows > 0 and not split_rows(rows.rows, hyperparameters.eval_split)[1]:
        yield Violation(
            f"{path}.hyperparameters.eval_split",
            "EMPTY_EVALUATION",
            f"A share of {hyperparameters.eval_split:g} of {rows.rows} row(s) leaves none to evaluate on; raise it, name "
            "an eval_dataset_version, or leave out eval_steps.",
            f"{rows.rows} 行の {hyperparameters.eval_split:g} では評価用の行が残りません。値を大きくするか、"
            "eval_dataset_version を指定するか、eval_steps を外してください。",
        )


def _not_installed(
    hyperparameters: Hyperparameters, workers: Sequence[pb.MachineStatus], path: str
) -> Iterator[Violation]:
    """No worker has a library that the training needs. Without any worker the job waits for one that has."""
    needs = {
        "deepspeed_stage": ("deepspeed", hyperparameters.deepspeed_stage > 0),
        "method": ("bitsandbytes", hyperparameters.method == "qlora"),
        "optim": ("bitsandbytes", "8bit" in hyperparameters.optim),
    }
    for field, (library, needed) in needs.items():
        if needed and workers and not any(library in worker.libraries for worker in workers):
            yield Violation(
                f"{path}.hyperparameters.{field}",
                "NOT_INSTALLED",
                f"Needs {library}, which no worker has. Install it there (pip install {library}) and restart the worker.",
                f"{library} が必要ですが、どのワーカーにもありません。ワーカーで pip install {library} を実行し、"
                "再起動してください。",
            )


def _too_many_processes(processes: int, workers: Sequence[pb.MachineStatus], path: str) -> Iterator[Violation]:
    """More than any worker has GPUs for, or memory where it has none. Without any worker the job waits for one."""
    largest = max(workers, key=_most_processes, default=None)
    if largest is None or processes <= _most_processes(largest):
        return
    most, field = _most_processes(largest), f"{path}.processes"
    if largest.gpus:
        yield Violation(
            field,
            "MORE_THAN_ANY_WORKER",
            f"Is {processes}, but no worker has more than {most} GPU(s). Choose at most {most}, or start a larger worker "
            "first.",
            f"値 {processes} に対し、GPU が最も多いワーカーでも {most} 台です。{most} 以下にするか、"
            "先に GPU の多いワーカーを起動してください。",
        )
        return
    total, has = in_bytes(processes * OVERHEAD_BYTES[False]), in_bytes(largest.memory_total_bytes)
    yield Violation(
        field,
        "MORE_THAN_ANY_WORKER",
        f"Is {processes}, which takes {total} of memory before any model is loaded, but no worker has more than {has}. "
        f"Choose at most {most}, or start a larger worker first.",
        f"値 {processes} ではモデルを読み込む前に {total} のメモリが必要ですが、ワーカーのメモリは最大 {has} です。"
        f"{most} 以下にするか、先にメモリの多いワーカーを起動してください。",
    )


def without_room(need: Need, workers: Sequence[pb.MachineStatus], path: str) -> list[Violation]:
    """More memory than any worker has, where none has GPUs. `need` is that of a machine without any."""
    most = max((worker.memory_total_bytes for worker in workers), default=0)
    if not most or any(worker.gpus for worker in workers) or need.all_bytes <= most:
        return []
    total, has = in_bytes(need.all_bytes), in_bytes(most)
    return [
        Violation(
            f"{path}.hyperparameters",
            "MORE_THAN_ANY_WORKER",
            f"Takes about {total} of memory, but no worker has more than {has}. The plan tells what needs less (aift plan; "
            "aift train --fit applies it); or start a larger worker first.",
            f"約 {total} のメモリが必要ですが、ワーカーのメモリは最大 {has} です。見積もり (aift plan) の対策を適用するか "
            "(aift train --fit)、先にメモリの多いワーカーを起動してください。",
        )
    ]


def _most_processes(worker: pb.MachineStatus) -> int:
    """One a GPU, or as many as its memory holds before any model is loaded. A single one is for the plan to judge."""
    return len(worker.gpus) or max(1, worker.memory_total_bytes // OVERHEAD_BYTES[False])


async def cut_away(
    resolver: Resolver, hyperparameters: Hyperparameters, rows: ResolvedRows, base: ResolvedBase, path: str
) -> list[Violation]:
    """Rows so long that cutting them leaves nothing to train. Only where most are that long the first ones are rendered."""
    longest = hyperparameters.max_length
    if hyperparameters.objective == "pretraining" or rows.lengths.median <= longest:
        return []
    seen = await resolver.sample(rows, base, longest)
    if seen.trained_tokens or not seen.truncated_tokens:
        return []
    return [
        Violation(
            f"{path}.hyperparameters.max_length",
            "NOTHING_TO_TRAIN",
            f"Is {longest}: cut to it, none of the first {seen.rows} rows of {rows.name} has a trained token left. Raise it, "
            "or shorten the prompts.",
            f"値 {longest} で切り詰めると、{rows.name} の先頭 {seen.rows} 行のいずれにも学習対象のトークンが残りません。"
            "値を大きくするか、プロンプトを短くしてください。",
        )
    ]
