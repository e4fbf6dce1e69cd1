"""Marker pairs that split a text into prompt and completion, such as 質問 / 回答. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Markers:
    """What stands before the prompt and between prompt and completion, exactly, white space included."""

    prompt: str
    """Such as "質問: "."""
    completion: str
    """Such as "\\n回答: "; starts with the line break that ends the prompt."""

    @property
    def label(self) -> str:
        """The pair for people, such as "質問 / 回答"."""
        return " / ".join(part.strip().splitlines()[-1].strip("#:： ") for part in (self.prompt, self.completion))


@dataclass(frozen=True)
class Split:
    """A text taken apart."""

    markers: Markers
    prompt: str
    completion: str


_PAIRS = (("質問", "回答"), ("指示", "応答"), ("入力", "出力"), ("Q", "A"))
_COLON = r"[ \t　]*[:：][ \t　]*"
_VARIES = r"[\s:：#]+"
# The prompt's marker opens the text; before a heading some families put a fixed sentence. Shortest match first: the
# completion begins at the first marker that can begin it.
_INLINE = r"\A(?P<pm>{0}{2}\n?)(?P<p>.*?)(?P<cm>\n+{1}{2}\n?)(?P<c>.*)\Z"
_HEADING = r"\A(?P<pm>(?:[^#]{{0,500}}?\n)?\#{{2,4}} ?{0}{2}\n?)(?P<p>.*?)(?P<cm>\n+\#{{2,4}} ?{1}{2}\n?)(?P<c>.*)\Z"
_WORDS = re.compile(r"[^\s:：#]+")
_PATTERNS = tuple(
    re.compile(shape.format(prompt, completion, _COLON), re.DOTALL)
    for shape in (_HEADING, _INLINE)
    for prompt, completion in _PAIRS
)


def find_markers(text: str) -> Split | None:
    """Splits at the first known pair that the text has; None where it has none."""
    for pattern in _PATTERNS:
        if match := pattern.match(text):
            return Split(Markers(match["pm"], match["cm"]), match["p"], match["c"])
    return None


def split(text: str, markers: Markers) -> Split | None:
    """Splits at the given pair, else at the same pair with other colons or spaces; None without."""
    if text.startswith(markers.prompt):
        prompt, found, completion = text.removeprefix(markers.prompt).partition(markers.completion)
        if found:
            return Split(markers, prompt, completion)
    if not all(words in text for part in (markers.prompt, markers.completion) for words in _words(part)):
        return None  # a quick look that spares most texts the long one
    known = find_markers(text)
    return known if known is not None and _bare(known.markers) == _bare(markers) else None


def _bare(markers: Markers) -> tuple[str, str]:
    """The pair without what varies from row to row."""
    return re.sub(_VARIES, "", markers.prompt), re.sub(_VARIES, "", markers.completion)


def _words(part: str) -> list[str]:
    return _WORDS.findall(part)
