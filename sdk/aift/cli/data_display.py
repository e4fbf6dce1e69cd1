"""Rows, tokens and changes as people read them on a terminal."""

import json
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from aift.changes import changed_pieces
from aift.cli.output import at, facts, in_bytes, notes, out, table, word
from aift.data.v1 import data_pb2
from aift.language import localized, text
from aift.recipe import as_mapping

_TRAINED = "bold green"
_OPEN, _CLOSE = "⟦", "⟧"
_BAR_WIDTH = 40
_STYLES = {"same": "", "removed": "red strike", "added": "green"}


def render_version(version: data_pb2.DatasetVersion) -> None:
    """One version with what it is made of."""
    template = version.template
    facts(
        [
            (text("name", "名前"), version.name),
            (text("file", "ファイル"), version.filename),
            (text("rows", "行"), f"{version.statistics.rows:,}"),
            (text("size", "サイズ"), in_bytes(version.size_bytes)),
            (text("form", "形式"), word(data_pb2.RowForm.Name(template.form), "ROW_FORM_")),
            (text("trained", "学習する部分"), word(data_pb2.TrainOn.Name(template.train_on), "TRAIN_ON_")),
            ("SHA-256", version.sha256),
            (text("from", "取り込み元"), version.source),
            (text("prepared from", "前処理元"), version.parent),
            (text("recipe", "レシピ"), _in_words(as_mapping(version.recipe)) if version.parent else ""),
            (text("files", "ファイル構成"), ", ".join(f"{f.path} ({in_bytes(f.size_bytes)})" for f in version.files)),
            (text("made", "作成"), at(version.create_time)),
        ]
    )


def _in_words(mapping: Mapping[str, object], path: str = "") -> str:
    """ "normalization: nfkc · split.test_share: 0.1" """
    parts = []
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            parts.append(_in_words(value, f"{path}{name}."))
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            parts.append(f"{path}{name}: {shown}")
    return " · ".join(parts)


def render_rows(page: data_pb2.PreviewRowsResponse) -> None:
    """Rows, with what is learned in colour, or each part under its name where there is no colour."""
    console = out()
    named = not console.is_terminal or console.no_color
    for row in page.rows:
        content = json.loads(row.json)
        label = f" · label: {str(content['label']).lower()}" if "label" in content else ""
        console.print(f"#{row.index} ({text('line', '行')} {row.line}){label}", style="dim", markup=False)
        learnt = "chosen" if row.rejected else "completion"
        for name, part, style in (
            ("prompt", row.prompt, ""),
            (learnt, row.completion, "green"),
            ("rejected", row.rejected, "red"),
        ):
            if part:
                console.print(f"[{name}]\n{part}" if named else part, style=style, markup=False)
    _so_far(page.rows, page.total_rows)


def render_supervision(answer: data_pb2.PreviewSupervisionResponse) -> None:
    """Rows as the model sees them: trained tokens in colour, or between ⟦⟧ where there is no colour."""
    console = out()
    for row in answer.rows:
        console.print(_supervised_heading(row), style="dim", markup=False)
        if row.HasField("problem"):
            console.print(localized(row.problem), style="red", markup=False)
        console.print(supervised(row.tokens, colour=console.is_terminal and not console.no_color))
    share = answer.trained_tokens / answer.tokens if answer.tokens else 0.0
    notes().print(
        text(
            f"{answer.trained_tokens:,} of {answer.tokens:,} tokens are trained ({share:.1%}); cut rows: "
            f"{answer.truncated_rows:,} ({answer.truncated_tokens:,} tokens); rows with nothing to train: "
            f"{answer.untrained_rows:,}",
            f"{answer.tokens:,} トークン中 {answer.trained_tokens:,} を学習({share:.1%})、切り詰め: "
            f"{answer.truncated_rows:,} 行({answer.truncated_tokens:,} トークン)、学習対象なし: "
            f"{answer.untrained_rows:,} 行",
        )
    )
    _tell(answer.findings)
    _so_far(answer.rows, answer.total_rows)


def supervised(tokens: Sequence[data_pb2.SupervisedToken], *, colour: bool) -> Text:
    """The tokens' text with the trained ones marked."""
    shown = Text()
    trained = False
    for token in tokens:
        if token.trained != trained and not colour:
            shown.append(_CLOSE if trained else _OPEN)
        trained = token.trained
        shown.append(token.text.replace("\n", "↵\n"), style=_TRAINED if trained and colour else "")
    if trained and not colour:
        shown.append(_CLOSE)
    return shown


def render_tokens(counts: data_pb2.TokenStatistics) -> None:
    """Lengths in tokens, with a bar a bucket."""
    share = counts.trained_tokens / counts.tokens if counts.tokens else 0.0
    facts(
        [
            (text("rows", "行"), f"{counts.rows:,}"),
            (text("tokens", "トークン"), f"{counts.tokens:,}"),
            (text("of these trained", "うち学習対象"), f"{counts.trained_tokens:,} ({share:.1%})"),
            (text("shortest", "最短"), f"{counts.min_tokens:,}"),
            (text("median", "中央値"), f"{counts.median_tokens:,}"),
            (text("95 of 100 up to", "95 パーセンタイル"), f"{counts.p95_tokens:,}"),
            (text("longest", "最長"), f"{counts.max_tokens:,}"),
        ]
    )
    histogram(counts.histogram_bounds, counts.histogram_counts, out())


def histogram(bounds: Sequence[int], counts: Sequence[int], console: Console) -> None:
    """Buckets with their counts as bars; empty ones at both ends are left out."""
    filled = [index for index, count in enumerate(counts) if count]
    if not filled:
        return
    most = max(counts)
    names = bucket_names(bounds, len(counts))
    rows = [
        (names[i], f"{counts[i]:,}", "█" * max(1 if counts[i] else 0, round(counts[i] / most * _BAR_WIDTH)))
        for i in range(filled[0], filled[-1] + 1)
    ]
    console.print(table(("", "", ""), rows))


def bucket_names(bounds: Sequence[int], buckets: int) -> list[str]:
    """ "< 32", "< 64", …, "≥ 64" for the bucket above the last bound."""
    names = [f"< {bound:,}" for bound in bounds[:buckets]]
    return names + [f"≥ {bounds[-1]:,}" if bounds else ""] * (buckets - len(names))


def render_diff(found: data_pb2.DiffDatasetVersionsResponse) -> None:
    """Counts, then rows: + added, - removed, ~ changed."""
    facts(
        [
            (text("unchanged", "変更なし"), f"{found.unchanged_rows:,}"),
            (text("added", "追加"), f"{found.added_rows:,}"),
            (text("removed", "削除"), f"{found.removed_rows:,}"),
            (text("changed", "変更"), f"{found.changed_rows:,}"),
        ]
    )
    added = (data_pb2.RowChange(after=row) for row in found.added)
    removed = (data_pb2.RowChange(before=row) for row in found.removed)
    _render_changes([*added, *removed, *found.changed], out())


def render_preparation_preview(answer: data_pb2.PreviewPreparationResponse) -> None:
    """Rows before and after."""
    _render_changes(answer.changes, out())
    changed = answer.rows - answer.unchanged_rows - answer.dropped_rows
    notes().print(
        text(
            f"Of {answer.rows:,} rows: {changed:,} change, {answer.dropped_rows:,} are dropped, "
            f"{answer.unchanged_rows:,} stay as they are. Nothing was written.",
            f"{answer.rows:,} 行中: 変更 {changed:,}、除外 {answer.dropped_rows:,}、変更なし "
            f"{answer.unchanged_rows:,}。何も書き込んでいません。",
        )
    )
    _tell(answer.findings)


def render_preparation(job: data_pb2.DataJob) -> None:
    """What each step did, and the versions that were made."""
    steps = [(s.name, f"{s.rows_in:,}", f"{s.rows_out:,}", f"{s.changed_rows:,}") for s in job.steps]
    if steps:
        columns = (
            text("step", "処理"),
            text("rows before", "処理前の行"),
            text("after", "処理後"),
            text("changed", "変更"),
        )
        notes().print(table(columns, steps))
    for version in (job.dataset_version, job.validation_version, job.test_version):
        if version:
            out().print(version, markup=False)


def _render_changes(changes: Iterable[data_pb2.RowChange], console: Console) -> None:
    for change in changes:
        mark = "~" if change.HasField("before") and change.HasField("after") else None
        mark = mark or ("-" if change.HasField("before") else "+")
        index = (change.before if change.HasField("before") else change.after).index
        line = Text(f"{mark} #{index} ")
        for kind, piece in changed_pieces(change):
            plain = piece if kind == "same" or mark != "~" or console.is_terminal else _bracketed(kind, piece)
            line.append(plain, style=_STYLES[kind])
        console.print(line)


def _bracketed(kind: str, piece: str) -> str:
    return f"[-{piece}-]" if kind == "removed" else f"{{+{piece}+}}"


def _supervised_heading(row: data_pb2.SupervisedRow) -> str:
    trained = sum(token.trained for token in row.tokens)
    parts = [
        text(
            f"#{row.index}: {trained} of {len(row.tokens)} tokens trained",
            f"#{row.index}: {len(row.tokens)} トークン中 {trained} を学習",
        )
    ]
    if row.answer:
        parts[0] += f" ({row.answer})"
    if trained and not row.stop_trained:
        parts.append(text("the stop token is not trained", "終了トークンは学習されません"))
    if row.truncated_tokens:
        parts.append(text(f"{row.truncated_tokens} cut off", f"{row.truncated_tokens} トークン切り詰め"))
    return " · ".join(parts)


def _tell(findings: Iterable[data_pb2.Finding]) -> None:
    for finding in findings:
        notes().print(f"! {finding.reason}: {localized(finding.message)}", style="yellow", markup=False)


def _so_far(rows: Sequence[data_pb2.Row | data_pb2.SupervisedRow], total: int) -> None:
    shown = f"#{rows[0].index:,}–#{rows[-1].index:,}" if rows else "–"
    notes().print(text(f"{shown} of {total:,} rows", f"{shown}(全 {total:,} 行)"), style="dim", markup=False)
