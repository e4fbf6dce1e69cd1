"""`python -m services.data_service serve` or `migrate`."""

from __future__ import annotations

import sys

from services.core.imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from services.core import process
        from services.data_service.app import PACKAGE, serve
        from services.data_service.settings import DataSettings

    sys.exit(process.command(package=PACKAGE, settings=DataSettings, serve=serve))
