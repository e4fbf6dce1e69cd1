"""A validation report as people read it."""

from rich.console import Console

from aift.cli.output import table, word
from aift.data.v1 import data_pb2
from aift.language import localized, text

_SHOWN_EXAMPLES = 3
_SMALLEST_SHARE = 0.005


def render_report(report: data_pb2.ValidationReport, console: Console) -> None:
    """The verdict, how rows are read, lengths, and every finding with its first places and its remedy."""
    if report.valid and report.set_aside_rows:
        console.print(
            text(
                f"✓ {report.valid_rows:,} of {report.rows:,} rows are valid, the others were set aside",
                f"✓ {report.rows:,} 行中 {report.valid_rows:,} 行が有効です(残りは取り分けました)",
            ),
            style="green",
        )
    elif report.valid:
        console.print(text(f"✓ {report.rows:,} rows are valid", f"✓ {report.rows:,} 行すべて有効です"), style="green")
    elif not report.rows:
        console.print(text("✗ no row could be read", "✗ 行を読み取れませんでした"), style="red")
    elif report.rows == report.valid_rows:
        console.print(
            text(
                f"✗ not all of the file could be read; the {report.rows:,} rows that were are valid",
                f"✗ ファイルを最後まで読み取れませんでした(読み取れた {report.rows:,} 行は有効です)",
            ),
            style="red",
        )
    else:
        bad = report.rows - report.valid_rows
        console.print(
            text(
                f"✗ {bad:,} of {report.rows:,} rows are not valid", f"✗ {report.rows:,} 行中 {bad:,} 行に問題があります"
            ),
            style="red",
        )
    for line in _about(report):
        console.print(f"  {line}", markup=False)
    for finding in report.findings:
        _render_finding(finding, console)


def _about(report: data_pb2.ValidationReport) -> list[str]:
    lines = []
    if report.format:
        written = [word(data_pb2.FileFormat.Name(report.format), "FILE_FORMAT_"), report.encoding, report.compression]
        evidence = localized(report.format_evidence)
        lines.append(
            text("file: ", "ファイル: ")
            + ", ".join(part for part in written if part)
            + (f" ({evidence})" if evidence else "")
        )
    if report.template.form:
        form = word(data_pb2.RowForm.Name(report.template.form), "ROW_FORM_")
        part = word(data_pb2.TrainOn.Name(report.template.train_on), "TRAIN_ON_")
        evidence = localized(report.template.evidence)
        lines.append(text(f"form: {form}, trained: {part}", f"形式: {form}、学習する部分: {part}") + f" ({evidence})")
    counts = report.statistics
    if counts.rows:
        lines.append(
            text(
                f"characters a row: {counts.min_characters:,} to {counts.max_characters:,}, "
                f"median {counts.median_characters:,}; duplicates: {counts.duplicate_rows:,}",
                f"1 行の文字数: {counts.min_characters:,}〜{counts.max_characters:,}、"
                f"中央値 {counts.median_characters:,}、重複: {counts.duplicate_rows:,} 行",
            )
        )
        lines += _shares(counts)
    if report.set_aside_rows:
        lines.append(
            text(
                f"set aside: {report.set_aside_rows:,} rows (aift data download datasets/… --file set-aside)",
                f"取り分けた行: {report.set_aside_rows:,} (aift data download datasets/… --file set-aside)",
            )
        )
    return lines


def _shares(counts: data_pb2.DatasetStatistics) -> list[str]:
    lines = []
    for heading, shares in (
        (text("languages", "言語"), counts.language_shares),
        (text("scripts", "文字種"), counts.script_shares),
    ):
        parts = sorted(shares.items(), key=lambda share: -share[1])
        if told := ", ".join(f"{name} {share:.0%}" for name, share in parts if share >= _SMALLEST_SHARE):
            lines.append(f"{heading}: {told}")
    return lines


def _render_finding(finding: data_pb2.Finding, console: Console) -> None:
    is_error = finding.severity == data_pb2.SEVERITY_ERROR
    mark, style = ("✗", "red") if is_error else ("!", "yellow")
    # Without a place it is about the file as a whole, such as too few rows.
    counted = finding.count > 1 or finding.examples
    times = text(f"{finding.count:,} rows", f"{finding.count:,} 行") if counted else ""
    console.print(f"{mark} {finding.reason}", style=style, end=" ", markup=False)
    console.print(f"{times}: {localized(finding.message)}" if times else localized(finding.message), markup=False)
    places = [(f"  {_line(e)}" if e.line else "", e.field, e.excerpt) for e in finding.examples[:_SHOWN_EXAMPLES]]
    if places:
        console.print(table(("", "", ""), places))


def _line(place: data_pb2.FindingExample) -> str:
    if place.column:
        return text(f"line {place.line}, column {place.column}", f"{place.line} 行目 {place.column} 文字目")
    return text(f"line {place.line}", f"{place.line} 行目")
