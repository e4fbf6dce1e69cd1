"""The job file: everything that a training is made from. Standard library only, so that services may read it too.

    python -m services.training_service.trainer JOB.json OUTPUT_DIR

JOB.json holds a `JobFile`; OUTPUT_DIR gets:

    events.jsonl           what happens, one event a line (see `events`); ranks above 0 write events.rank-N.jsonl
    checkpoints/step-N/    everything to go on from optimizer step N; appears whole, by a rename
    model/                 the result: adapter or full weights, tokenizer, template.json, aift.json
    tensorboard/           TensorBoard event files
    control.json           written by whoever started the trainer (see `control`)

The process ends with exit code 0 where the last event is `finished`, else with the code of its `failed` event's kind
(see `failures`). Several ranks are started with RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set; where
one fails the others break off as "infrastructure", so another kind among their `failed` events is the cause. On several
nodes (LOCAL_WORLD_SIZE below WORLD_SIZE) each has an OUTPUT_DIR of its own; checkpoints/ and model/ are in rank 0's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from services.text.problems import Problem, ProblemError
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.strict import build


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """The model to start from."""

    path: str
    """Directory with config.json, *.safetensors and the tokenizer's files."""
    name: str = ""
    """Its resource name, such as "baseModels/tiny-ja"; only carried along."""
    digest: str = ""
    """Digest of its files; only carried along."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A data set."""

    path: str
    """A .jsonl file, one object a line, or a .parquet file with the fields as columns or as JSON in a column `json`."""
    name: str = ""
    """Its resource name, such as "datasets/faq/versions/1"; only carried along."""
    digest: str = ""
    """Digest of the version; only carried along."""


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """One training. Unknown fields are refused."""

    base_model: BaseModel
    """The model to start from."""
    dataset: Rows
    """The training rows."""
    eval_dataset: Rows | None = None
    """Held-out rows; None: hyperparameters.eval_split of the training rows."""
    adapter: str = ""
    """A directory with a PEFT adapter on the base model to go on training; empty: a fresh one."""
    start_from: str = ""
    """The version that is gone on with, such as "models/faq/versions/1"; only carried along."""
    template: dict[str, Any] = field(default_factory=dict)
    """Form and markers of the rows as `services.text.template.Template.to_json` writes them; empty: detected."""
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    """How to train."""
    sample_prompts: tuple[str, ...] = ()
    """Prompts answered before training, at each evaluation and at the end; none: the first three held-out ones that leave
    room for an answer in the model's context."""
    checkpoint: str = ""
    """A directory checkpoints/step-N to go on from; empty: start anew."""
    training_job: str = ""
    """The job's resource name; only carried along."""
    threads: int = 0
    """CPU threads of each rank; 0: the machine's cores shared by its ranks. Bit-equal resuming needs the same number."""

    def to_json(self) -> str:
        """The file's text, with every default written out."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)


def load(path: Path) -> JobFile:
    """Reads and checks a job file. Raises ProblemError with everything that is wrong in it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProblemError(
            Problem(
                "JOB_FILE_UNREADABLE",
                "",
                f"{path} is not a readable JSON file: {error}",
                f"{path} を JSON として読めません: {error}",
            )
        ) from error
    return parse(value)


def parse(value: object) -> JobFile:
    """A job from decoded JSON. Raises ProblemError with everything that is wrong in it."""
    problems: list[Problem] = []
    job = build(JobFile, value, "", problems)
    given = value if isinstance(value, Mapping) else {}
    problems += _problems(job.hyperparameters if job else None, given.get("hyperparameters"), problems)
    problems += _out_of_range_threads(given.get("threads"))
    if job is None or problems:
        raise ProblemError(*problems)
    return job


def parse_hyperparameters(value: object) -> Hyperparameters:
    """Hyperparameters from decoded JSON, defaults filled in. Raises ProblemError."""
    problems: list[Problem] = []
    parsed = build(Hyperparameters, value, "hyperparameters", problems)
    problems += _problems(parsed, value, problems)
    if parsed is None or problems:
        raise ProblemError(*problems)
    return parsed


def _problems(parsed: Hyperparameters | None, given: object, told: Sequence[Problem]) -> list[Problem]:
    """What is wrong with the values, with the field in the text, which here stands alone.

    Where something could not be read, this is what is out of bounds among the rest.
    """
    if parsed is not None:
        found = parsed.problems()
    else:
        faulty = {problem.field for problem in told}
        values = given.items() if isinstance(given, Mapping) else ()
        read = build(Hyperparameters, {n: v for n, v in values if f"hyperparameters.{n}" not in faulty}, "", [])
        found = read.out_of_bounds() if read is not None else []
    return [replace(p, en=f"{p.field}: {p.en}", ja=f"{p.field}: {p.ja}") for p in found]


def _out_of_range_threads(threads: object) -> list[Problem]:
    if type(threads) is not int or 0 <= threads <= 1024:
        return []
    en = f"threads is {threads}; it must lie in [0, 1024]"
    return [Problem("OUT_OF_RANGE", "threads", en, f"threads の値 {threads} は 0 から 1024 の範囲外です")]
