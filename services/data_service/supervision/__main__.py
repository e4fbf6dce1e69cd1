"""`python -m services.data_service.supervision`: renders rows as long as its standard input is open."""

from __future__ import annotations

import sys

from services.core import lifeline
from services.data_service.supervision.protocol import Request
from services.text.tokenizer import leave_out_frameworks


def main() -> int:
    """Answers one request a line."""
    lifeline.attach()
    leave_out_frameworks()
    from services.data_service.supervision.rendering import render

    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(render(Request.of(line)).line())
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
