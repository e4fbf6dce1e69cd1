"""``python -m frontend`` serves the page at AIFT_PAGE_HOST:AIFT_PAGE_PORT, by default 127.0.0.1:8050."""

import uvicorn

from frontend.server import make_app
from frontend.settings import PageSettings


def main() -> None:
    """Serves until told to end."""
    settings = PageSettings.from_environment()
    uvicorn.run(make_app(settings), host=settings.host, port=settings.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
