"""``python -m frontend`` serves the page at AIFT_PAGE_HOST:AIFT_PAGE_PORT, by default 127.0.0.1:8050."""

import os

# Read by Streamlit when it is imported.
os.environ.setdefault("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false")
os.environ.setdefault("STREAMLIT_CLIENT_TOOLBAR_MODE", "minimal")
os.environ.setdefault("STREAMLIT_SERVER_MAX_UPLOAD_SIZE", "512")
os.environ.setdefault("STREAMLIT_THEME_PRIMARY_COLOR", "#1f6feb")

import uvicorn

from frontend.server import make_app
from frontend.settings import PageSettings


def main() -> None:
    """Serves until told to end."""
    settings = PageSettings.from_environment()
    uvicorn.run(make_app(settings), host=settings.host, port=settings.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
