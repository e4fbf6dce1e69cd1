"""`python -m services.data_service.validation REQUEST`: checks one file; progress goes to standard output."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from services.data_service import child
from services.data_service.validation.request import REPORT_FILE, ValidationRequest
from services.data_service.validation.workers import LARGE_BYTES, WORKERS, Workers


def work(argument: str, tell: child.Tell) -> None:
    """Runs a request; the report appears whole or not at all."""
    request = ValidationRequest.from_json(argument)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # else numpy starts threads that nothing here uses
    with ExitStack() as stack:
        source = Path(request.input_file)
        large = source.is_file() and source.stat().st_size >= LARGE_BYTES
        workers = stack.enter_context(Workers(WORKERS)) if large and WORKERS else None
        from services.data_service.validation.validator import validate  # while the workers import the like

        report = validate(request, tell, workers=workers)
    target = Path(request.output_dir) / REPORT_FILE
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(report.to_json(), ensure_ascii=False))
    partial.replace(target)


if __name__ == "__main__":
    sys.exit(child.run(work))
