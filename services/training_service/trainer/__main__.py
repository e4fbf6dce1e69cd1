"""Starts a training and ends with its exit code. Tells where it is before the slow imports."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from services.core.disk import is_full
from services.text.problems import Problem, ProblemError
from services.training_service.trainer import control, events
from services.training_service.trainer.console import Console
from services.training_service.trainer.failures import (
    DISK_FULL,
    EXIT_CODES,
    ConfigurationError,
    DataError,
    Kind,
    TrainingError,
)
from services.training_service.trainer.imports import leave_out_unused, settle_threads
from services.training_service.trainer.job import JobFile, load
from services.training_service.trainer.reporter import Reporter


def main(arguments: list[str] | None = None) -> int:
    """Runs `python -m services.training_service.trainer JOB.json OUTPUT_DIR`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="trainer", description="Fine-tunes a model as a job file says.")
    parser.add_argument("job", type=Path, help="the job file, see services/training_service/trainer/job.py")
    parser.add_argument("output_dir", type=Path, help="gets events.jsonl, checkpoints/, model/ and tensorboard/")
    given = parser.parse_args(arguments)
    supervised = _attach_to_parent()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "warning"}
    flag = control.TerminationFlag()
    flag.install()
    # Who started it reads the events; people at a terminal see them.
    show = None if supervised else Console(given.output_dir).show
    reporter = Reporter(given.output_dir, int(os.environ.get("RANK", "0")), show)
    reporter.progress("loading_model", 0.0, note="starting")
    try:
        reporter.tell(_run(_job(given.job), given.output_dir, reporter, flag))
    except BaseException as error:  # noqa: BLE001 - the last event must be written whatever happened
        failed = describe(error)
        if failed.reason == "DISK_FULL":
            _remove_unfinished(given.output_dir)
        with suppress(OSError):  # the exit code says it too
            reporter.write(failed)
            if supervised or not isinstance(error, ConfigurationError | DataError):
                traceback.print_exc()
        return exit_code_of(failed)
    finally:
        with suppress(OSError):
            reporter.close()
    return 0


def _attach_to_parent() -> bool:
    """Whether there is a parent that looks after this process."""
    if "AIFT_LIFELINE_FD" not in os.environ:
        return False
    from services.core import lifeline

    # At once: nobody would take over what a rank without its agent still saves.
    lifeline.attach(grace_s=0)
    return True


def _job(path: Path) -> JobFile:
    try:
        return load(path)
    except ProblemError as error:
        raise ConfigurationError(*error.problems) from error


def _run(job: JobFile, output_dir: Path, reporter: Reporter, flag: control.TerminationFlag) -> events.Finished:
    leave_out_unused(job.hyperparameters)
    settle_threads(job.threads, int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1"))))
    for share, library in ((0.1, "torch"), (0.2, "transformers"), (0.3, "services.training_service.trainer.run")):
        importlib.import_module(library)
        reporter.progress("loading_model", share, note=library)
    from services.training_service.trainer.run import run

    reporter.capture_logs()
    return run(job, output_dir, reporter, flag)


def _remove_unfinished(output_dir: Path) -> None:
    """So that there is room to say why."""
    for partial in list(output_dir.glob("**/.*.partial")):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def exit_code_of(failed: events.Failed) -> int:
    """What the process ends with."""
    return DISK_FULL if failed.reason == "DISK_FULL" else EXIT_CODES[failed.failure]


def describe(error: BaseException) -> events.Failed:
    """The failure's kind and words; what nobody foresaw is infrastructure, which is tried again, with its traceback."""
    detail = "".join(traceback.format_exception(error))[-20_000:]
    if isinstance(error, TrainingError):
        first, rest = error.problems[0], error.problems[1:]
        en = "; ".join([first.en, *(p.en for p in rest)])
        ja = "。".join([first.ja, *(p.ja for p in rest)])
        return events.Failed(failure=error.kind, reason=first.reason, field=first.field, en=en, ja=ja, detail=detail)
    kind, problem = _foreign(error)
    return events.Failed(
        failure=kind, reason=problem.reason, field=problem.field, en=problem.en, ja=problem.ja, detail=detail
    )


def _foreign(error: BaseException) -> tuple[Kind, Problem]:
    text = f"{type(error).__name__}: {error}"
    if any(_means_full_disk(cause) for cause in _causes(error)):
        en, ja = (
            "the worker's disk is full; free some space there",
            "ワーカーのディスクに空きがありません。空きを作ってください",
        )
        return "infrastructure", Problem("DISK_FULL", "", en, ja)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        en = (
            "memory was not enough; a smaller batch with more accumulation steps, or gradient checkpointing, needs less"
        )
        ja = "メモリが足りません。バッチを小さくして勾配累積を増やすか、gradient_checkpointing を使ってください"
        return "out_of_memory", Problem("OUT_OF_MEMORY", "hyperparameters.per_device_train_batch_size", en, ja)
    en, ja = f"the training broke off: {text[:500]}", f"学習が中断しました: {text[:500]}"
    return "infrastructure", Problem("TRAINER_BROKE_OFF", "", en, ja)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _means_full_disk(error: BaseException) -> bool:
    # safetensors tells the number in words; torch.save only that less was written than it gave.
    text = str(error)
    return is_full(error) or "(os error 28)" in text or ("inline_container" in text and "unexpected pos" in text)


if __name__ == "__main__":
    sys.exit(main())
