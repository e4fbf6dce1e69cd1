"""A validation report as numbers, charts and findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import streamlit as st
from aift.data.v1 import data_pb2

from frontend import words_of_data as words
from frontend.session import localized, problems_shown, say, signed_in_client

_CHART_HEIGHT = 220


def show_report(name: str) -> None:
    """The report of a data job or of a version."""
    with problems_shown():
        report = signed_in_client().datasets.report(name)
        _numbers(report)
        _evidence(report)
        _findings(report.findings)
        _charts(report.statistics)


def histogram(counts: Sequence[int], bounds: Sequence[int], unit: str) -> None:
    """Rows by length; empty buckets at both ends are left out."""
    filled = [index for index, count in enumerate(counts) if count]
    if not filled:
        return
    names = [f"< {bound:,}" for bound in bounds[: len(counts)]]
    names += [f"≥ {bounds[-1]:,}" if bounds else ""] * (len(counts) - len(names))
    rows = say("行", "rows")
    shown = [{unit: names[i], rows: counts[i]} for i in range(filled[0], filled[-1] + 1)]
    st.bar_chart(shown, x=unit, y=rows, sort=False, height=_CHART_HEIGHT)


def _numbers(report: data_pb2.ValidationReport) -> None:
    rows, valid, aside, duplicates, median = st.columns(5)
    rows.metric(say("行数", "Rows"), f"{report.rows:,}")
    valid.metric(say("正しい行", "Valid rows"), f"{report.valid_rows:,}")
    aside.metric(say("取り分けた行", "Set aside"), f"{report.set_aside_rows:,}")
    duplicates.metric(say("重複行", "Duplicate rows"), f"{report.statistics.duplicate_rows:,}")
    median.metric(say("文字数の中央値", "Median characters"), f"{report.statistics.median_characters:,}")


def _evidence(report: data_pb2.ValidationReport) -> None:
    written = [data_pb2.FileFormat.Name(report.format).removeprefix("FILE_FORMAT_")] if report.format else []
    written += [part for part in (report.encoding, report.compression) if part]
    lines = []
    if written:
        evidence = localized(report.format_evidence)
        lines.append(say("ファイル", "File") + f": {', '.join(written)}" + (f" — {evidence}" if evidence else ""))
    if report.template.form:
        form = data_pb2.RowForm.Name(report.template.form).removeprefix("ROW_FORM_").lower()
        lines.append(say("行の形式", "Rows") + f": {form} — {localized(report.template.evidence)}")
    for line in lines:
        st.caption(line)


def _findings(findings: Sequence[data_pb2.Finding]) -> None:
    if not findings:
        return
    reason, rows, kind = say("理由", "reason"), say("行", "rows"), say("種類", "kind")
    names = {True: say("エラー", "error"), False: say("警告", "warning")}
    totals: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        totals[finding.reason, names[finding.severity == data_pb2.SEVERITY_ERROR]] += finding.count
    counted = [{reason: name, rows: count, kind: severity} for (name, severity), count in totals.items() if count]
    if len(counted) > 1:
        st.caption(say("理由別の件数", "Rows by reason"))
        st.bar_chart(counted, x=reason, y=rows, color=kind, horizontal=True, sort=False)
    for finding in findings:
        _finding(finding)


def _finding(finding: data_pb2.Finding) -> None:
    bad = finding.severity == data_pb2.SEVERITY_ERROR
    # Without a place it is about the file as a whole, such as too few rows.
    times = f" × {finding.count:,}" if finding.count > 1 or finding.examples else ""
    icon = ":material/error:" if bad else ":material/warning:"
    with st.expander(f"{finding.reason}{times}", expanded=bad, icon=icon):
        st.write(localized(finding.message))
        if finding.examples:
            st.dataframe(
                [
                    {
                        say("行", "line"): e.line,
                        say("文字", "column"): e.column,
                        say("バイト位置", "byte"): e.byte_offset,
                        say("項目", "field"): e.field,
                        say("内容", "text"): e.excerpt,
                    }
                    for e in finding.examples
                ],
                hide_index=True,
            )


def _charts(statistics: data_pb2.DatasetStatistics) -> None:
    left, middle, right = st.columns([2, 1, 1])
    if statistics.histogram_counts:
        with left:
            st.caption(say("長さの分布（文字）", "Lengths in characters"))
            histogram(statistics.histogram_counts, statistics.histogram_bounds, say("文字数", "characters"))
    with middle:
        _shares(say("文字種", "Scripts"), statistics.script_shares)
    with right:
        _shares(say("言語", "Languages"), statistics.language_shares)


def _shares(label: str, shares: Mapping[str, float]) -> None:
    if not shares:
        return
    st.caption(label)
    share = say("割合 (%)", "share (%)")
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    shown = [{label: words.script(name), share: round(value * 100, 1)} for name, value in ordered]
    st.bar_chart(shown, x=label, y=share, horizontal=True, sort=False, height=_CHART_HEIGHT)
