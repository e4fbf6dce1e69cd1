"""What a row becomes: something that a model can learn from. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True)
class Conversation:
    """Turns that end with one of the assistant's; every one of the assistant's is learnt, or only the last."""

    messages: tuple[Message, ...]
    only_last: bool = False

    @property
    def prompt(self) -> str:
        """What comes before the last answer, for people."""
        return _named(self.messages[:-1])

    @property
    def completion(self) -> str:
        """The last answer."""
        return self.messages[-1].content

    @property
    def contents(self) -> tuple[str, ...]:
        """All its text in order, for counting."""
        return tuple(message.content for message in self.messages)


@dataclass(frozen=True)
class Pair:
    """A prompt and the completion that is learnt."""

    prompt: str
    completion: str

    @property
    def contents(self) -> tuple[str, ...]:
        """All its text in order, for counting."""
        return self.prompt, self.completion


@dataclass(frozen=True)
class Plain:
    """A text that is learnt whole."""

    completion: str
    prompt: str = ""

    @property
    def contents(self) -> tuple[str, ...]:
        """All its text, for counting."""
        return (self.completion,)


@dataclass(frozen=True)
class Preference:
    """Two answers to the same turns, of which the first is better."""

    turns: tuple[Message, ...]
    """What is answered; ends with a turn of the user's."""
    chosen: str
    rejected: str

    @property
    def prompt(self) -> str:
        """What is answered, for people."""
        return _shown(self.turns)

    @property
    def completion(self) -> str:
        """The better answer."""
        return self.chosen

    @property
    def contents(self) -> tuple[str, ...]:
        """All its text in order, for counting."""
        return (*(turn.content for turn in self.turns), self.chosen, self.rejected)


@dataclass(frozen=True)
class Labeled:
    """An answer that is wanted or not."""

    turns: tuple[Message, ...]
    """What is answered; ends with a turn of the user's."""
    completion: str
    label: bool
    """Whether answers like this one are wanted."""

    @property
    def prompt(self) -> str:
        """What is answered, for people."""
        return _shown(self.turns)

    @property
    def contents(self) -> tuple[str, ...]:
        """All its text in order, for counting."""
        return (*(turn.content for turn in self.turns), self.completion)


Example = Conversation | Pair | Plain | Preference | Labeled


def _shown(turns: tuple[Message, ...]) -> str:
    return turns[0].content if len(turns) == 1 else _named(turns)


def _named(turns: tuple[Message, ...]) -> str:
    return "\n".join(f"{turn.role}: {turn.content}" for turn in turns)
