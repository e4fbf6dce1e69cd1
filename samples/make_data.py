"""Make samples/data/*.jsonl: `python -m samples.make_data [--seed N] [--output DIR]`.

The same seed gives the same bytes.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from samples.corpus import conversations, programming, records
from samples.corpus.questions import ASKED, UNSEEN, ask, house_answer
from samples.corpus.splits import Split

Row = dict[str, object]
DATA = Path(__file__).parent / "data"
TRAINING_ROWS, HELDOUT_ROWS, WORDING_ROWS, CHAT_ROWS, PREFERENCE_ROWS = 1200, 120, 60, 240, 240


def questions(rng: random.Random, split: Split, wordings: dict[str, tuple[str, ...]], number: int) -> Iterator[Row]:
    """Yield rows in the manual's form; no record comes twice."""
    seen: set[str] = set()
    while len(seen) < number:
        record = records.compose(rng, split)
        if record.text in seen:
            continue
        seen.add(record.text)
        question, field, value = ask(rng, record, wordings)
        yield {"text": f"質問: {record.text}{question}\n回答: {house_answer(field, value)}"}


def chats(rng: random.Random) -> Iterator[Row]:
    """Yield rows of messages."""
    for _ in range(CHAT_ROWS):
        yield {"messages": conversations.conversation(rng)}


def code(rng: random.Random) -> Iterator[Row]:
    """Yield rows about programming, in an order of their own."""
    rows = list(programming.examples())
    rng.shuffle(rows)
    for instruction, response in rows:
        yield {"instruction": instruction, "response": response}


def preferences(rng: random.Random) -> Iterator[Row]:
    """Yield rows of a prompt with a wanted and an unwanted answer."""
    for _ in range(PREFERENCE_ROWS):
        prompt, chosen, rejected = conversations.preference(rng)
        yield {"prompt": prompt, "chosen": chosen, "rejected": rejected}


FILES: dict[str, Callable[[random.Random], Iterable[Row]]] = {
    "sample_training_data.jsonl": lambda rng: questions(rng, Split.FINETUNE, ASKED, TRAINING_ROWS),
    "sample_heldout_data.jsonl": lambda rng: questions(rng, Split.HELDOUT, ASKED, HELDOUT_ROWS),
    "sample_heldout_wording_data.jsonl": lambda rng: questions(rng, Split.HELDOUT, UNSEEN, WORDING_ROWS),
    "sample_chat_data.jsonl": chats,
    "sample_code_data.jsonl": code,
    "sample_preference_data.jsonl": preferences,
}


def make(output: Path, seed: int) -> None:
    """Write every file into `output`."""
    output.mkdir(parents=True, exist_ok=True)
    for name, rows in FILES.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(random.Random(f"{seed}/{name}"))]
        (output / name).write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=DATA)
    arguments = parser.parse_args()
    make(arguments.output, arguments.seed)


if __name__ == "__main__":
    main()
