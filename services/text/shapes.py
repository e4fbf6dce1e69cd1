"""What a chat template writes around the turns of a conversation, found out once for all that have the same roles.

Most templates put what is said between texts of their own, stripped perhaps, and look no closer. They are run once with
stand-ins that can be put anywhere but not be looked at; after that, conversations are filled in without running the
template. One that does look (whether "</think>" is in an answer, or how long it is) is told apart and runs for every
conversation. jinja2 and transformers are imported where a template is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from services.text.examples import Role

Span = tuple[int, int]
_KEPT = 8


class Turn(NamedTuple):
    """Where a turn's content stands."""

    number: int
    stripped: bool = False


Piece = str | Turn


@dataclass(frozen=True)
class Answer:
    """What stands between {% generation %} marks."""

    pieces: tuple[Piece, ...]


class Part(NamedTuple):
    """Pieces that are all learnt or all not."""

    pieces: tuple[Piece, ...]
    learnt: bool


@dataclass(frozen=True)
class Shape:
    """All of a conversation but what is said in it."""

    parts: tuple[Part, ...]

    def filled(self, contents: Sequence[str]) -> tuple[str, list[Span]]:
        """The text, and where in it the answers are."""
        text, spans = "", []
        for pieces, learnt in self.parts:
            start = len(text)
            for piece in pieces:
                if isinstance(piece, str):
                    text += piece
                else:
                    content = contents[piece.number]
                    text += content.strip() if piece.stripped else content
            if learnt:
                spans.append((start, len(text)))
        return text, spans


def written(
    chat_template: str, roles: Sequence[Role], tokens: Mapping[str, Any], *, generation: bool = False
) -> list[Piece | Answer] | None:
    """What the template makes of turns that are not blank, whatever they say; None where that rests on what they say,
    and where the template refuses them."""
    messages = [{"role": role, "content": _Said((Turn(index),))} for index, role in enumerate(roles)]
    names = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": generation, **tokens}
    try:
        template = _traced(chat_template)
        outputs = list(template.root_render_func(template.new_context(names)))
        return [piece for output in outputs for piece in ((output,) if _is_answer(output) else _pieces(output))]
    except (_LookedError, Exception):  # noqa: BLE001 - whatever else went wrong, the conversation itself will show it
        return None


def turns_in(pieces: Iterable[Piece | Answer]) -> list[int]:
    """The turns whose contents are written, in order."""
    flat = [one for piece in pieces for one in (piece.pieces if isinstance(piece, Answer) else (piece,))]
    return [piece.number for piece in flat if isinstance(piece, Turn)]


def marked(pieces: Sequence[Piece | Answer]) -> Shape:
    """The shape by the template's marks."""
    return Shape(tuple(Part(p.pieces, True) if isinstance(p, Answer) else Part((p,), False) for p in pieces))


def headed(pieces: Sequence[Piece | Answer], roles: Sequence[Role], headers: Sequence[str]) -> Shape | None:
    """The shape by what opens the assistant's turns; None where one is not opened so, or turns are not written in turn."""
    if turns_in(pieces) != list(range(len(roles))):
        return None
    parts: list[Part] = []
    before = ""
    for piece in pieces:
        if isinstance(piece, str):
            before += piece
        elif isinstance(piece, Turn):
            at = 0
            if roles[piece.number] == "assistant":
                header = next((header for header in headers if header in before), None)
                if header is None:
                    return None
                at = before.rfind(header) + len(header)
            parts += [Part((before[:at],), False), Part((before[at:], piece), at > 0)]
            before = ""
    return Shape((*parts, Part((before,), False)))


class _LookedError(BaseException):
    """The template looked at what is said. Not an Exception, since jinja2 takes some of those for an answer."""


class _Said:
    """Stands for what a turn says, perhaps with texts around it. Counts as a string that is not empty; everything but
    putting it somewhere raises."""

    def __init__(self, pieces: tuple[Piece, ...]) -> None:
        self._pieces = pieces

    __class__ = property(lambda _: str)  # what isinstance asks

    def __add__(self, other: object) -> _Said:
        return _Said((*self._pieces, *_operand(other)))

    def __radd__(self, other: object) -> _Said:
        return _Said((*_operand(other), *self._pieces))

    def __bool__(self) -> bool:
        return True

    def strip(self, characters: None = None) -> _Said:
        """As templates ask for it, directly or by `trim`."""
        piece = self._pieces[0]
        if characters is not None or len(self._pieces) > 1 or isinstance(piece, str):
            raise _LookedError
        return _Said((Turn(piece.number, stripped=True),))

    def _looked(self, *_: object) -> NoReturn:
        raise _LookedError

    __str__ = __repr__ = __len__ = __iter__ = __getitem__ = __hash__ = __float__ = __getattr__ = _looked
    __eq__ = __ne__ = _looked


def _operand(value: object) -> tuple[Piece, ...]:
    if type(value) is _Said or type(value) is str:
        return _pieces(value)
    raise _LookedError


def _pieces(output: object) -> tuple[Piece, ...]:
    return output._pieces if type(output) is _Said else (str(output),)  # noqa: SLF001 - templates may not reach it


def _is_answer(output: object) -> bool:
    return type(output) is Answer


def _joined(outputs: Iterable[object]) -> object:
    """What a macro or a block returns, which the template may go on with."""
    values = list(outputs)
    if any(map(_is_answer, values)):
        raise _LookedError  # nobody knows where it will stand
    pieces = tuple(piece for value in values for piece in _pieces(value))
    return _Said(pieces) if any(isinstance(piece, Turn) for piece in pieces) else "".join(map(str, pieces))


@lru_cache(_KEPT)
def _traced(chat_template: str) -> Any:
    """The template in transformers' own environment, but with outputs as they are instead of as text."""
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.nativetypes import NativeCodeGenerator
    from jinja2.parser import Parser
    from transformers.utils.chat_template_utils import _compile_jinja_template

    class Marks(Extension):
        """{% generation %}, before transformers' own."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it
        priority = 101

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_answer"), [], [], body).set_lineno(line)

        def _answer(self, caller: Any) -> Answer:
            return Answer(_pieces(caller()))

    environment = _compile_jinja_template(chat_template).environment.overlay(extensions=[Marks])
    environment.code_generator_class = NativeCodeGenerator
    environment.concat = _joined
    return environment.from_string(chat_template)
