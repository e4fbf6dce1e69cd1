"""What one row of a data set adds to a training: token sequences, and what its loss is counted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TokenRow:
    """One sequence as the model sees it."""

    ids: npt.NDArray[np.int32]
    """[tokens]"""
    trained: npt.NDArray[np.bool_]
    """[tokens]; whether the token counts in the loss. The first never does: nothing predicts it."""
    characters: int
    """Characters of what is trained, the stop token not counted."""

    @property
    def sequences(self) -> tuple[TokenRow, ...]:
        """Itself."""
        return (self,)

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.ids)

    @property
    def trained_tokens(self) -> int:
        """Tokens that count in the loss."""
        return int(self.trained[1:].sum())

    @property
    def weight(self) -> int:
        """What the step's loss is divided by: its trained tokens."""
        return self.trained_tokens


@dataclass(frozen=True)
class AnswerRow:
    """Two sequences that are compared. Their log-probabilities are those of the answer alone."""

    sequences: tuple[TokenRow, TokenRow]
    """dpo, orpo: the chosen answer and the rejected one; kto: the answer, and the next row's under this row's prompt."""
    wanted: bool = True
    """kto: whether answers like this one are wanted."""
    reference: tuple[float, float] = (0.0, 0.0)
    """Log-probabilities of both under the model before training, in nats, where the objective needs them."""

    @property
    def tokens(self) -> int:
        """Of both."""
        return sum(sequence.tokens for sequence in self.sequences)

    @property
    def trained_tokens(self) -> int:
        """Tokens of both answers."""
        return sum(sequence.trained_tokens for sequence in self.sequences)

    @property
    def characters(self) -> int:
        """Characters of both answers."""
        return sum(sequence.characters for sequence in self.sequences)

    @property
    def weight(self) -> int:
        """What the step's loss is divided by: its rows."""
        return 1


TrainingRow: TypeAlias = TokenRow | AnswerRow
