"""What can go wrong when one machine is started or stopped; each says what to do about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from services.embedded.language import text


class EmbeddedError(Exception):
    """An error for the person at the terminal, in their language."""

    reason: ClassVar[str] = "EMBEDDED_ERROR"
    exit_code: ClassVar[int] = 1

    def __init__(self, en: str, ja: str) -> None:
        super().__init__(text(en, ja))


class AlreadyRunning(EmbeddedError):
    """A supervisor holds this state directory."""

    reason = "ALREADY_RUNNING"

    def __init__(self, state_dir: Path, pid: int, address: str) -> None:
        super().__init__(
            f"AIFT already runs on {state_dir} (pid {pid}, {address}). Stop it with `aift down`.",
            f"AIFT は {state_dir} で既に動いています(pid {pid}、{address})。`aift down` で停止できます。",
        )


class NotRunning(EmbeddedError):
    """No supervisor holds this state directory."""

    reason = "NOT_RUNNING"
    exit_code = 5  # as for a service that is away

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            f"AIFT does not run on {state_dir}. Start it with `aift up`.",
            f"AIFT は {state_dir} で動いていません。`aift up` で起動できます。",
        )


class PortTaken(EmbeddedError):
    """A port that a process of ours needs has another listener."""

    reason = "PORT_TAKEN"

    def __init__(self, port: int, name: str, owner: str | None) -> None:
        super().__init__(
            f"Port {port} ({name}) is taken by {owner or 'another process'}. "
            f"Stop it, or start with `aift up --ports auto` or another port (see `aift up --help`).",
            f"ポート {port}({name})は {owner or '他のプロセス'} が使用中です。"
            f"それを停止するか、`aift up --ports auto` または別のポートで起動してください(`aift up --help`)。",
        )


class StartFailed(EmbeddedError):
    """A process did not become ready; carries the last lines that each wrote."""

    reason = "START_FAILED"

    def __init__(self, tails: Mapping[str, str]) -> None:
        names = ", ".join(tails)
        told = "\n".join(f"--- {name}\n{tail}" for name, tail in tails.items())
        super().__init__(f"Did not start: {names}\n{told}", f"起動できませんでした: {names}\n{told}")


class StateDirUnusable(EmbeddedError):
    """The state directory cannot be made or written."""

    reason = "STATE_DIR_UNUSABLE"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"The state directory {path} cannot be used: {why}. Name another with --state-dir or AIFT_STATE_DIR.",
            f"状態ディレクトリ {path} を使用できません: {why}。--state-dir か AIFT_STATE_DIR で別の場所を指定してください。",
        )


class LeftoverProcesses(EmbeddedError):
    """Processes of an earlier start are still there and would not end."""

    reason = "LEFTOVER_PROCESSES"

    def __init__(self, pids: Mapping[str, int]) -> None:
        told = ", ".join(f"{name} (pid {pid})" for name, pid in pids.items())
        super().__init__(
            f"Processes of an earlier start did not end: {told}.",
            f"前回の起動のプロセスが終了しません: {told}。",
        )


class StopTimedOut(EmbeddedError):
    """The supervisor did not end within its bounded time."""

    reason = "STOP_TIMED_OUT"

    def __init__(self, pid: int, seconds: float) -> None:
        super().__init__(
            f"The supervisor (pid {pid}) did not stop within {seconds:.0f} s.",
            f"スーパーバイザー(pid {pid})が {seconds:.0f} 秒以内に停止しませんでした。",
        )


class TokenUnknown(EmbeddedError):
    """No token with this id was issued here."""

    reason = "TOKEN_UNKNOWN"

    def __init__(self, token_id: str) -> None:
        super().__init__(
            f"There is no token {token_id!r}. See `aift token list`.",
            f"トークン {token_id!r} はありません。`aift token list` で確認してください。",
        )


class ProcessUnknown(EmbeddedError):
    """No process with this name writes a log here."""

    reason = "PROCESS_UNKNOWN"
    exit_code = 2

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        there = ", ".join(known)
        super().__init__(
            f"There is no log of {name!r}. There are: {there}.",
            f"{name!r} のログはありません。あるもの: {there}。",
        )


class MigrationFailed(EmbeddedError):
    """A schema could not be brought up to date."""

    reason = "MIGRATION_FAILED"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"The database could not be brought up to date:\n{said}",
            f"データベースを更新できませんでした:\n{said}",
        )
