"""Who offers a directory on a fast disk to a training that asks for one."""

from collections.abc import Iterator, Sequence

from aift.training.v1 import training_pb2 as pb

from services.core.errors import Violation
from services.training_service.trainer.hyperparameters import Hyperparameters


def offered_by(machine: pb.MachineStatus) -> str:
    """The directory that a machine offers now; empty where it offers none."""
    return "" if machine.disk_offload.HasField("problem") else machine.disk_offload.directory


def not_offered(
    hyperparameters: Hyperparameters, workers: Sequence[pb.MachineStatus], path: str
) -> Iterator[Violation]:
    """No worker offers what the training needs. Without any worker the job waits for one that does."""
    offered = sorted({directory for worker in workers if (directory := offered_by(worker))})
    wanted = hyperparameters.disk_offload_dir
    if not hyperparameters.on_disk or not workers or wanted in offered or (offered and not wanted):
        return
    if offered:
        known = ", ".join(offered)
        yield Violation(
            f"{path}.hyperparameters.disk_offload_dir",
            "NOT_OFFERED",
            f"Is {wanted}, which no worker offers now; choose {known}, or leave it empty for any.",
            f"{wanted} を提供しているワーカーがありません。{known} を選ぶか、空にしてください。",
        )
        return
    problems = [worker.disk_offload.problem for worker in workers if worker.disk_offload.HasField("problem")]
    why_en = "".join(f" ({problem.en})" for problem in problems[:1])
    why_ja = "".join(f"（{problem.ja}）" for problem in problems[:1])
    field, value = ("disk_offload_dir", wanted) if wanted else (hyperparameters.on_disk, "NVME")
    yield Violation(
        f"{path}.hyperparameters.{field}",
        "NOT_OFFERED",
        f"Is {value}, but no worker offers a directory for offloading now{why_en}. Set AIFT_DISK_OFFLOAD_DIR on one, or "
        "offload to CPU.",
        f"{value} が指定されていますが、オフロード用のディレクトリを提供しているワーカーがありません{why_ja}。ワーカーで "
        "AIFT_DISK_OFFLOAD_DIR を設定するか、CPU へオフロードしてください。",
    )
