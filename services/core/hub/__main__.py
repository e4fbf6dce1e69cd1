"""The importer's dialogue with the service, over standard input and output."""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO

from services.core import lifeline
from services.core.hub.protocol import Job, Refusal, encode


def main() -> int:
    """Answers until the input ends; the exit status is 0 unless something unexpected happened."""
    lifeline.attach()
    # The library prints now and then; standard output belongs to the dialogue.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    refused = _answer(sys.stdin.buffer, answers)
    if refused is not None:
        answers.write(refused.line())
    return 0


def _answer(questions: BinaryIO, answers: BinaryIO) -> Refusal | None:
    """The whole dialogue; what the Hub refused, None when it gave everything."""
    # Loaded here, so that the lifeline is held before two seconds of imports.
    from services.core.hub import repository

    job = Job(**json.loads(questions.readline()))
    source = repository.Repository(job)
    try:
        answers.write(source.plan().line())
        for line in questions:
            path = json.loads(line)["fetch"]
            source.fetch(path, lambda done: _tell(answers, done))
            answers.write(encode({"fetched": path}))
    except repository.FAILURES as error:
        return repository.refusal(error)
    return None


def _tell(answers: BinaryIO, done_bytes: int) -> None:
    answers.write(encode({"progress": done_bytes}))


if __name__ == "__main__":
    sys.exit(main())
