"""`python -m services.data_service.validation REQUEST`: checks one file; progress goes to standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.core import lifeline
from services.data_service.validation.request import REPORT_FILE, Progress, ValidationRequest
from services.data_service.validation.validator import validate


def _tell(progress: Progress) -> None:
    sys.stdout.write(progress.to_json() + "\n")
    sys.stdout.flush()


def main(argv: list[str]) -> int:
    """Runs the request that is the only argument; the report appears whole or not at all."""
    lifeline.attach()
    request = ValidationRequest.from_json(argv[0])
    report = validate(request, _tell)
    target = Path(request.output_dir) / REPORT_FILE
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(report.to_json(), ensure_ascii=False))
    partial.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
