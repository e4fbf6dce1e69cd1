"""`python -m services.registry_service serve|migrate`."""

from services.core.process import command
from services.registry_service.app import PACKAGE, serve
from services.registry_service.settings import RegistrySettings

if __name__ == "__main__":
    raise SystemExit(command(package=PACKAGE, settings=RegistrySettings, serve=serve))
