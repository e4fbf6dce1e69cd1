"""What is wrong with rows as a model sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.data_service.report import Example, Finding, Severity
from services.data_service.row_pages import RowView
from services.data_service.supervision.protocol import RenderedRow

_MAX_EXAMPLES = 10
_EXCERPT_CHARACTERS = 60


@dataclass(frozen=True)
class _Kind:
    """One thing that may be wrong, and how it shows."""

    reason: str
    severity: Severity
    en: str
    ja: str
    shows: Callable[[RenderedRow], bool]


_KINDS = (
    _Kind(
        "NOTHING_TRAINED",
        Severity.ERROR,
        "nothing of the row is trained: max_length cuts off its answer; raise max_length or shorten the row",
        "学習されるトークンがありません。max_length で応答が切り落とされています。max_length を大きくするか行を短くしてください",
        lambda row: row.trouble is None and not any(row.trained),
    ),
    _Kind(
        "DOUBLE_BOS",
        Severity.WARNING,
        "the row begins with two BOS tokens: a text begins with one of its own, or the chat template writes one where "
        "the contents hold another; remove it from the data",
        "行の先頭に BOS トークンが 2 つあります。データに含まれる BOS を取り除いてください",
        lambda row: row.double_bos,
    ),
    _Kind(
        "STOP_NOT_TRAINED",
        Severity.WARNING,
        "the token that ends the answer is not trained, so that the model does not learn to stop; change the chat template",
        "応答を終えるトークンが学習されないため、モデルが生成を止めることを学べません。チャットテンプレートを直してください",
        lambda row: row.trouble is None and not row.stop_trained and not row.truncated_tokens,
    ),
    _Kind(
        "ROW_TRUNCATED",
        Severity.WARNING,
        "the row is longer than max_length and loses its end; raise max_length or cut long texts into rows of their own",
        "max_length より長く、末尾が切り落とされます。max_length を大きくするか、長い文を複数の行に分けてください",
        lambda row: row.truncated_tokens > 0,
    ),
    _Kind(
        "PROMPT_SERVED_OTHERWISE",
        Severity.WARNING,
        "alone, as serving encodes it, the prompt has other tokens than here: a token straddles prompt and answer, or the "
        "chat template opens answers in another way",
        "推論時のプロンプト単体とはトークン列が異なります。トークンがプロンプトと応答にまたがっているか、"
        "チャットテンプレートの応答の始まり方が違います",
        lambda row: row.served_otherwise,
    ),
)


def findings(views: Sequence[RowView], rows: Sequence[RenderedRow]) -> list[Finding]:
    """What is wrong with rows, errors first."""
    found = _troubles(views, rows)
    for kind in _KINDS:
        places = [view for view, row in zip(views, rows, strict=True) if kind.shows(row)]
        if places:
            found.append(_finding(kind.reason, kind.severity, kind.en, kind.ja, places))
    return found


def _troubles(views: Sequence[RowView], rows: Sequence[RenderedRow]) -> list[Finding]:
    """Rows that cannot be rendered, by reason."""
    by_reason: dict[str, list[tuple[RowView, RenderedRow]]] = {}
    for view, row in zip(views, rows, strict=True):
        if row.trouble is not None:
            by_reason.setdefault(row.trouble.reason, []).append((view, row))
    found = []
    for reason, members in by_reason.items():
        first = members[0][1].trouble
        if first is not None:
            found.append(_finding(reason, Severity.ERROR, first.en, first.ja, [view for view, _ in members]))
    return found


def _finding(reason: str, severity: Severity, en: str, ja: str, places: Sequence[RowView]) -> Finding:
    examples = [
        Example(line=view.line, column=0, byte_offset=0, field="", excerpt=view.json[:_EXCERPT_CHARACTERS])
        for view in places[:_MAX_EXAMPLES]
    ]
    return Finding(reason=reason, severity=severity, count=len(places), en=en, ja=ja, examples=examples)
