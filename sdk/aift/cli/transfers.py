"""Bars for files on their way and for the work that follows."""

from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from aift.cli.output import notes
from aift.language import text
from aift.progress import Progress as Told
from aift.progress import Stage

_WORDS: dict[Stage, tuple[str, str]] = {
    "uploading": ("Uploading", "アップロード"),
    "validating": ("Checking", "検証"),
    "importing": ("Importing", "取り込み"),
    "downloading": ("Downloading", "ダウンロード"),
    "fetching": ("Fetching", "取得"),
    "preparing": ("Preparing", "前処理"),
    "counting": ("Counting tokens", "トークン計数"),
}


class TransferBars:
    """One bar a stage on standard error; silent where it is no terminal or when `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        console = notes()
        self._tasks: dict[Stage, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )

    def tell(self, progress: Told) -> None:
        """Takes what on_progress is told."""
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._progress.add_task(text(*_WORDS[progress.stage]), total=None)
        self._progress.update(self._tasks[progress.stage], completed=progress.done, total=progress.total or None)

    def __enter__(self) -> "TransferBars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
