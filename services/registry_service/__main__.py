"""`python -m services.registry_service serve` or `migrate`."""

import sys

from services.core.imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from services.core import process
        from services.registry_service.app import PACKAGE, serve
        from services.registry_service.settings import RegistrySettings

    sys.exit(process.command(package=PACKAGE, settings=RegistrySettings, serve=serve))
