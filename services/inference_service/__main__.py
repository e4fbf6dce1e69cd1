"""``python -m services.inference_service serve|migrate``."""

from services.core.process import command
from services.inference_service.app import PACKAGE, serve
from services.inference_service.settings import InferenceSettings

if __name__ == "__main__":
    raise SystemExit(command(package=PACKAGE, settings=InferenceSettings, serve=serve))
