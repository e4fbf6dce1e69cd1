"""What a plan remarks on: few rows, and what lacks where a training fits nowhere."""

from collections.abc import Iterator, Sequence

from services.training_service.fitting import Machine, Need
from services.training_service.notes import Note, in_bytes
from services.training_service.remedies import Remedy, fixed_part_is_too_large, too_many_processes

# The manual's advice on the amount of data.
_FEW_ROWS = 100
_ENOUGH_ROWS = 1000


def row_notes(rows: int) -> Iterator[Note]:
    """Whether there are few."""
    if rows < _FEW_ROWS:
        yield Note(
            en=f"Only {rows} rows to train on; at least {_FEW_ROWS} are advised, {_ENOUGH_ROWS} or more are better.",
            ja=f"学習に使う行は {rows} 件だけです。最低 {_FEW_ROWS} 件、推奨 {_ENOUGH_ROWS} 件以上です。",
        )
    elif rows < _ENOUGH_ROWS:
        yield Note(
            en=f"{rows} rows to train on; {_ENOUGH_ROWS} or more are better.",
            ja=f"学習に使う行は {rows} 件です。{_ENOUGH_ROWS} 件以上を推奨します。",
        )


def memory_notes(need: Need, fits: Sequence[tuple[Machine, bool]], proposed: Sequence[Remedy]) -> Iterator[Note]:
    """Why it fits nowhere, and whether what is proposed helps."""
    if not fits:
        yield Note(
            en="No worker was seen in the last minute; the job would wait for one.",
            ja="直近 1 分間に応答したワーカーがありません。ジョブはワーカーが来るまで待機します。",
        )
        return
    free = [machine.disk_free_bytes for machine, _ in fits if machine.disk_free_bytes]
    if free and max(free) < need.on_disk_bytes:
        needed, most = in_bytes(need.on_disk_bytes), in_bytes(max(free))
        yield Note(
            en=f"Offloading takes {needed} of disk; the directories that workers offer have {most} free at most.",
            ja=f"オフロードにディスクが {needed} 必要ですが、ワーカーの提供するディレクトリの空きは最大 {most} です。",
        )
    machines = [machine for machine, _ in fits]
    if fixed_part_is_too_large(need, machines):
        fixed, most_bytes = in_bytes(need.parts["overhead"]), in_bytes(max(m.available_bytes for m in machines))
        yield Note(
            en=f"Whatever is trained, {fixed} of memory are taken (overhead), and no more than {most_bytes} are there; no "
            "setting makes it fit. Use a larger machine.",
            ja=f"学習の内容によらず {fixed} のメモリ（overhead）が必要ですが、最大 {most_bytes} しかありません。"
            "設定の変更では収まりません。メモリの多いマシンを使ってください。",
        )
        return
    if too_many_processes(need, machines):
        yield _too_many(need, machines)
        return
    moved = need.offloaded_bytes
    short = [machine for machine, _ in fits if 0 < machine.memory_bytes < moved]
    if short:
        has = in_bytes(max(machine.memory_bytes for machine in short))
        yield Note(
            en=f"Offloading takes {in_bytes(moved)} of the machine's memory; {short[0].worker} has {has}.",
            ja=f"オフロードにマシンのメモリが {in_bytes(moved)} 必要ですが、{short[0].worker} は {has} です。",
        )
    elif not any(fit for _, fit in fits):
        yield _nowhere(need, proposed)


def _nowhere(need: Need, proposed: Sequence[Remedy]) -> Note:
    if need.load.on_gpu or need.load.processes == 1:
        total = in_bytes(need.device_bytes)
        en, ja = f"Needs about {total} a device", f"デバイスごとに約 {total} 必要ですが、足りるデバイスがありません。"
    else:
        total, processes = in_bytes(need.all_bytes), need.load.processes
        en = f"Needs about {total} of a machine's memory for {processes} processes"
        ja = f"{processes} プロセスで合計約 {total} のメモリが必要ですが、足りるマシンがありません。"
    if not proposed:
        help_en, help_ja = (
            "No setting saves enough; use a larger machine.",
            "収まる設定がありません。メモリの多いマシンを使ってください。",
        )
    elif proposed[-1].fits:
        help_en, help_ja = "What would help, the least harm first:", "影響の小さい順の対策:"
    else:
        help_en = "These save memory, the least harm first, but even all together do not make it fit:"
        help_ja = "以下で減らせますが、すべて適用しても収まりません（影響の小さい順）:"
    return Note(en=f"{en}, which is nowhere to be had. {help_en}", ja=ja + help_ja)


def _too_many(need: Need, machines: Sequence[Machine]) -> Note:
    processes, most = need.load.processes, max(machine.most_processes(need) for machine in machines)
    if need.load.on_gpu:
        return Note(
            en=f"processes is {processes}, but no machine has more than {most} GPU(s); choose at most {most}.",
            ja=f"processes の値 {processes} に対し、GPU は最大 {most} 台です。{most} 以下にしてください。",
        )
    each, total = in_bytes(need.device_bytes), in_bytes(need.all_bytes)
    has = in_bytes(max(machine.available_bytes for machine in machines))
    return Note(
        en=f"processes is {processes}: together they need about {total} of memory, {each} each, but no machine has more "
        f"than {has}; choose at most {most}.",
        ja=f"processes の値 {processes} では合計約 {total}（1 プロセスあたり {each}）のメモリが必要ですが、最大 {has} です。"
        f"{most} 以下にしてください。",
    )
