"""Held-out questions put to a model, and how well it answers them."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aift import Client
from aift.generation import SamplingOptions

from samples.corpus.questions import house_value

_ANSWER = "\n回答: "
_QUESTION = "質問: "
_AT_ONCE = 32  # requests in flight; the engine answers them together
_GREEDY = SamplingOptions(temperature=0, repetition_penalty=1.0, max_new_tokens=40, stop=["\n"])


@dataclass(frozen=True)
class Question:
    """A question that no training row has, and the answer in the house's style."""

    question: str
    answer: str

    @property
    def as_text(self) -> str:
        """The question as the training rows write it, up to where the answer begins."""
        return f"{_QUESTION}{self.question}{_ANSWER}"

    @property
    def value(self) -> str:
        """The fact that is asked for, without the style around it."""
        return house_value(self.answer)


@dataclass(frozen=True)
class Score:
    """Shares, 0 to 1."""

    exact: float
    right_value: float


def read_questions(path: Path, limit: int) -> list[Question]:
    """The first rows of a file in the manual's form."""
    rows = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()[:limit]]
    cut = [row.removeprefix(_QUESTION).partition(_ANSWER) for row in rows]
    return [Question(question, answer) for question, _, answer in cut]


def ask_all(
    client: Client, model: str, questions: Sequence[Question], *, raw: bool, answered: Callable[[], None]
) -> list[str]:
    """The model's answers, greedy. raw writes the training rows' form itself, for a model without that template."""

    def ask(question: Question) -> str:
        prompt = question.as_text if raw else question.question
        response = client.generate(model, prompt, raw=raw, **_GREEDY)
        answered()
        return response.text.strip()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, questions))


def score(questions: Sequence[Question], answers: Sequence[str]) -> Score:
    """How many answers are the expected ones, and how many at least name the right value."""
    pairs = list(zip(questions, answers, strict=True))
    return Score(
        exact=sum(answer == question.answer for question, answer in pairs) / len(pairs),
        right_value=sum(question.value in answer for question, answer in pairs) / len(pairs),
    )
