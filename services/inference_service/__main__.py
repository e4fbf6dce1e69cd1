"""`python -m services.inference_service serve` or `migrate`."""

import sys

from services.core.imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from services.core import process
        from services.inference_service.app import PACKAGE, serve
        from services.inference_service.settings import InferenceSettings

    sys.exit(process.command(package=PACKAGE, settings=InferenceSettings, serve=serve))
