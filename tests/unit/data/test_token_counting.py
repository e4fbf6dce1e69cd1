"""The process that counts the tokens of a version: many batches, as rendering them one by one tells them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.data_service.domain import TokenStatistics
from services.data_service.supervision.count_request import RESULT_FILE, CountRequest, CountResult
from services.data_service.supervision.rendering import bound
from services.data_service.validation.canonical_schema import SCHEMA
from services.text.rows import parse
from services.text.supervision import render
from services.text.template import Template, for_version
from tests.processes import memory

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "samples" / "models" / "tiny-ja"
CHATS = [
    {
        "messages": [
            {"role": "user", "content": f"{n} 番は？"},
            {"role": "assistant", "content": "東京です。" * (n % 40 + 1)},
        ]
    }
    for n in range(700)
]
TEXTS = [{"text": f"質問: {n} 番は？\n回答: {'東京です。' * (n % 40 + 1)}"} for n in range(700)]
FORMS = {
    "chat": (CHATS, for_version("MESSAGES", "COMPLETION", "", "")),
    "markers": (TEXTS, for_version("TEXT", "COMPLETION", "質問: ", "\n回答: ")),
}
# It looks at what is said, so that it runs for every row, and its macro makes objects that hold each other.
MACRO = """{% macro said(message) %}{{ message.content.split('</think>')[-1] }}{% endmacro -%}
{% for message in messages %}<|im_start|>{{ message.role }}
{{ said(message) }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def counted(rows: Sequence[dict[str, Any]], template: Template, folder: Path, model: Path = TINY) -> CountResult:
    """What the process says of rows in groups of 400."""
    return watched(rows, template, folder, model)[0]


def watched(rows: Sequence[dict[str, Any]], template: Template, folder: Path, model: Path) -> tuple[CountResult, int]:
    """The same with the most memory that the process took, in bytes."""
    with pq.ParquetWriter(folder / "rows.parquet", SCHEMA) as writer:
        for first in range(0, len(rows), 400):
            part = [json.dumps(row, ensure_ascii=False) for row in rows[first : first + 400]]
            places = list(range(first, first + len(part)))
            arrays = [
                pa.array(column, field.type) for column, field in zip((places, places, part), SCHEMA, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
    request = CountRequest(
        rows=str(folder / "rows.parquet"), tokenizer=str(model), template=template.to_json(), folder=str(folder)
    )
    argv = [sys.executable, "-m", "services.data_service.supervision.counting", request.to_json()]
    peak = 0
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.02)
    assert process.returncode == 0
    return CountResult.from_json(json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))), peak


@pytest.mark.parametrize("form", FORMS)
def test_many_batches_are_counted_as_rendered(form: str, tmp_path: Path) -> None:
    rows, template = FORMS[form]
    found = counted(rows, template, tmp_path).statistics
    tokenizer, fixed = bound(str(TINY), template.to_json())
    rendered = [render(parse(row, fixed.form, fixed.markers), fixed, tokenizer, 1 << 20) for row in rows]
    lengths = sorted(len(one.input_ids) for one in rendered)
    assert isinstance(found, TokenStatistics)
    assert (found.rows, found.tokens) == (len(rows), sum(lengths))
    assert found.trained_tokens == sum(one.trained_tokens for one in rendered)
    assert (found.min_tokens, found.median_tokens, found.max_tokens) == (lengths[0], lengths[349], lengths[-1])


def test_a_row_that_the_template_refuses_ends_the_count(tmp_path: Path) -> None:
    tool = {
        "messages": [
            *CHATS[0]["messages"],
            {"role": "tool", "content": "20 度"},
            {"role": "assistant", "content": "はい"},
        ]
    }
    found = counted([*CHATS, tool, *CHATS], FORMS["chat"][1], tmp_path)
    assert found.statistics is None
    assert found.refused is not None
    assert found.refused.reason == "TOOL_TURN_DROPPED"


def test_what_templates_leave_behind_is_cleared_away(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(TINY, model, ignore=shutil.ignore_patterns("*.safetensors"))
    (model / "chat_template.jinja").write_text(MACRO, encoding="utf-8")
    template = FORMS["chat"][1]
    few, many = (watched(CHATS[:40] * times, template, tmp_path, model) for times in (5, 600))
    assert few[0].statistics is not None
    assert many[0].statistics is not None
    assert many[0].statistics.tokens == 120 * few[0].statistics.tokens
    assert many[1] - few[1] < 50 << 20
