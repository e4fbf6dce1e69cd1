"""What a local preparation says: as text for people, or as one JSON."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aift.language import language, text

from services.core.errors import DomainError, InvalidArgument
from services.data_service.domain import RowForm
from services.data_service.preparation.request import PreparationResult
from services.data_service.report import Report

_SHOWN_EXAMPLES = 3


_TROUBLES_JA = {errno.EACCES: "権限がありません", errno.ENOSPC: "空き容量がありません", errno.EROFS: "読み取り専用です"}


class FileTrouble(DomainError):
    """A file cannot be read or written."""

    reason = "FILE_TROUBLE"
    status = "FAILED_PRECONDITION"
    en = "{file} cannot be read or written: {why}."
    ja = "{file} を読み書きできません: {why_ja}。"

    @classmethod
    def of(cls, error: OSError) -> FileTrouble:
        """What the system said."""
        why = error.strerror or str(error)
        return cls(file=error.filename or "?", why=why, why_ja=_TROUBLES_JA.get(error.errno or 0, why))


def show(
    source: Path,
    files: dict[Path, int],
    result: PreparationResult,
    form: RowForm,
    after: Report | None,
    *,
    as_json: bool,
) -> None:
    """The files that were made, with their rows, and how."""
    steps = [asdict(step) for step in result.steps]
    if as_json:
        outputs = [{"file": str(path), "rows": rows} for path, rows in files.items()]
        said = {"input": str(source), **_first(outputs), "outputs": outputs, "form": form, "steps": steps}
        _print_json(said | ({"report": after.to_json()} if after else {}))
        return
    for step in result.steps:
        changed = text(f", {step.changed_rows} changed", f"、変更 {step.changed_rows}") if step.changed_rows else ""
        _say(f"  {step.name}: {step.rows_in} → {step.rows_out}{changed}")
    for path, rows in files.items():
        _say(text(f"{rows} rows ({form}): {path}", f"{rows} 行（{form}）: {path}"))
    if after is not None:
        _show_report(after, sys.stdout.write)


def _first(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"output": outputs[0]["file"], "rows": outputs[0]["rows"]}


def _show_report(report: Report, write: Callable[[str], object]) -> None:
    verdict = text("valid", "有効") if report.valid else text("not valid", "問題あり")
    counts = report.statistics
    write(text(f"{report.rows} rows, {verdict}", f"{report.rows} 行、{verdict}") + "\n")
    evidence = text(report.template.evidence_en, report.template.evidence_ja)
    if evidence:
        write(f"  {evidence}\n")
    if counts.rows:
        en = f"characters a row: {counts.min_characters} to {counts.max_characters}, median {counts.median_characters}"
        ja = f"1 行の文字数: {counts.min_characters}〜{counts.max_characters}、中央値 {counts.median_characters}"
        write(f"  {text(en, ja)}\n")
    for finding in report.findings:
        write(f"{finding.severity} {finding.reason} × {finding.count}: {text(finding.en, finding.ja)}\n")
        for example in finding.examples[:_SHOWN_EXAMPLES]:
            write(f"  {text('line', '行')} {example.line}: {example.excerpt}\n")


def show_failure(source: Path, error: Exception, report: Report | None, *, as_json: bool) -> None:
    """Why nothing was made."""
    if isinstance(error, InvalidArgument) and error.violations:
        en, ja = (" ".join(f"{v.field}: {getattr(v, name)}" for v in error.violations) for name in ("en", "ja"))
    elif isinstance(error, DomainError):
        en, ja = error.text("en"), error.text("ja")
    else:
        en = ja = str(error)
    reason = getattr(error, "reason", "FAILED")
    if as_json:
        said = {"error": {"reason": reason, "message": {"en": en, "ja": ja}}, "input": str(source)}
        _print_json(said | ({"report": report.to_json()} if report else {}))
    elif report is not None:
        _show_report(report, sys.stderr.write)
    else:
        sys.stderr.write(f"{reason}: {ja if language() == 'ja' else en}\n")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print_json(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")
