"""`python -m services.data_service.differences REQUEST`: compares two versions."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from services.data_service import child
from services.data_service.differences.comparison import compare
from services.data_service.differences.request import RESULT_FILE, DiffRequest


def _work(line: str, _: child.Tell) -> None:
    request = DiffRequest.from_json(line)
    found = json.dumps(asdict(compare(request)), ensure_ascii=False)
    (Path(request.folder) / RESULT_FILE).write_text(found, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(child.run(_work))
