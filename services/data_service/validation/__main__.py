"""`python -m services.data_service.validation REQUEST`: checks one file; progress goes to standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.data_service import child
from services.data_service.validation.request import REPORT_FILE, ValidationRequest
from services.data_service.validation.validator import validate


def work(argument: str, tell: child.Tell) -> None:
    """Runs a request; the report appears whole or not at all."""
    request = ValidationRequest.from_json(argument)
    report = validate(request, tell)
    target = Path(request.output_dir) / REPORT_FILE
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(report.to_json(), ensure_ascii=False))
    partial.replace(target)


if __name__ == "__main__":
    sys.exit(child.run(work))
