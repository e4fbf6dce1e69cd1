"""`python -m services.data_service.preparation FILE`: does what the file says; progress goes to standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from services.data_service import child
from services.data_service.child import Tell
from services.data_service.preparation.preparation import prepare
from services.data_service.preparation.request import PreparationRequest


def main(file: str, tell: Tell) -> None:
    """Runs the request in the file."""
    request = PreparationRequest.from_json(Path(file).read_text())
    prepare(request, tell).write(Path(request.output_dir))


if __name__ == "__main__":
    sys.exit(child.run(main))
