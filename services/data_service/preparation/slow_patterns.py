"""What a preview says of patterns that take too long, by name, with what to do about it."""

from __future__ import annotations

from collections import Counter

from services.data_service.preparation.filtering import ROW_SECONDS, Filter
from services.data_service.preparation.steps import FILTER
from services.data_service.report import Example, Finding, Severity
from services.data_service.validation.excerpt import excerpt

_MAX_EXAMPLES = 10
_EXCERPT_CHARACTERS = 60
_REMEDY = (
    "Write it without repetitions within repetitions, such as (a+)+, or so that they do not go back, such as (?>a+)+.",
    "(a+)+ のような繰り返しの中の繰り返しをやめるか、(?>a+)+ のように後戻りしない書き方にしてください。",
)


class SlowPatterns:
    """Collects rows over which the patterns of a filter took too long. `judge`: None where nothing is filtered."""

    def __init__(self, judge: Filter | None) -> None:
        self._judge = judge
        self._before: Counter[str] = Counter()
        self._found: dict[str, Finding] = {}
        self._stop: list[Finding] = []

    def passed(self, line: int, json: str) -> None:
        """A row was looked at."""
        if self._judge is None:
            return
        for name in self._judge.late - self._before:
            finding = self._found.setdefault(name, self._late(name))
            finding.count += 1
            if len(finding.examples) < _MAX_EXAMPLES:
                shown = json[:_EXCERPT_CHARACTERS]
                finding.examples.append(Example(line=line, column=0, byte_offset=0, field="", excerpt=shown))
        self._before = self._judge.late.copy()

    def stopped(self, *, looked_at: int, rows: int, seconds: float) -> None:
        """The time for all rows was over."""
        seconds_of = self._filter().seconds
        name = max(seconds_of, key=seconds_of.__getitem__)
        en = (
            f"The preview stopped after {seconds:g} seconds, with {looked_at} of {rows} rows looked at. Most of them went "
            f"into the step {FILTER} with {self._named(name)}. {_REMEDY[0]} Or look at fewer rows (limit, --limit)."
        )
        ja = (
            f"プレビューは {seconds:g} 秒で打ち切りました（{rows} 行中 {looked_at} 行まで）。最も時間がかかったのは処理 "
            f"{FILTER} の{self._named_ja(name)}です。{_REMEDY[1]}または、行数（limit、--limit）を減らしてください。"
        )
        left = rows - looked_at
        self._stop = [Finding(reason="PREVIEW_STOPPED", severity=Severity.WARNING, en=en, ja=ja, count=left)]

    def findings(self) -> list[Finding]:
        """Everything that is to be said."""
        return [*self._stop, *self._found.values()]

    def _filter(self) -> Filter:
        if self._judge is None:
            raise AssertionError("only a filter takes its time")
        return self._judge

    def _late(self, name: str) -> Finding:
        en = (
            f"The step {FILTER} gives up on these rows and drops them: {self._named(name)} takes longer than "
            f"{ROW_SECONDS:g} second over one row. {_REMEDY[0]}"
        )
        ja = (
            f"処理 {FILTER} は、これらの行の判定を打ち切って除外します。{self._named_ja(name)}が 1 行に {ROW_SECONDS:g} 秒より"
            f"長くかかるためです。{_REMEDY[1]}"
        )
        return Finding(reason="SLOW_PATTERN", severity=Severity.WARNING, en=en, ja=ja)

    def _named(self, name: str) -> str:
        return f"the pattern {self._pattern(name)} (recipe.filter.{name}, {_flag(name)})"

    def _named_ja(self, name: str) -> str:
        return f"正規表現 {self._pattern(name)}（recipe.filter.{name}、{_flag(name)}）"

    def _pattern(self, name: str) -> str:
        return excerpt(self._filter().pattern(name))


def _flag(name: str) -> str:
    return "--drop-pattern" if name.startswith("drop") else "--keep-pattern"
