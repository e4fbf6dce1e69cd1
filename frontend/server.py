"""The web application: Streamlit's page, and beside it what a page cannot do itself: cookies."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from aift import AiftError, Client
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit import config
from streamlit.starlette import App

from frontend import downloads, uploads
from frontend.settings import PageSettings
from frontend.visitors import TOKEN_COOKIE

LANGUAGE_COOKIE = "aift_lang"
_YEAR_S = 365 * 24 * 3600
_MAX_FORM_BYTES = 8192
_LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

_OPTIONS = {
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "server.maxUploadSize": 1,
    "theme.primaryColor": "#1f6feb",
}

_SIGN_IN = """<!doctype html><html lang="ja"><meta charset="utf-8"><title>AIFT</title>
<style>body{{font-family:sans-serif;max-width:28rem;margin:15vh auto;padding:0 1rem}}
input,button{{font-size:1rem;padding:.6rem;width:100%;box-sizing:border-box;margin-top:.6rem}}
p.error{{color:#b3261e}}</style>
<h1>AIFT</h1><p>アクセストークンでサインインしてください。管理者が <code>aift token create</code> で発行します。<br>
Sign in with an access token; an administrator makes one with <code>aift token create</code>.</p>
<p class="error">{error}</p>
<form method="post" action="/signin"><input name="token" type="password" autocomplete="off" required
aria-label="token" placeholder="token"><button>サインイン · Sign in</button></form></html>"""


def make_app(settings: PageSettings) -> App:
    """The application. On loopback only loopback host names are answered, so that no other site can pose as us."""
    for name, value in _OPTIONS.items():
        config.set_option(name, value)
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK_HOSTS)] if settings.opens_at_once else []
    return App(
        Path(__file__).parent / "script.py",
        middleware=middleware,
        routes=[
            Route("/signin", show_sign_in, methods=["GET"]),
            Route("/signin", sign_in, methods=["POST"]),
            Route("/signout", sign_out, methods=["GET"]),
            Route("/language/{language}", choose_language, methods=["GET"]),
            *uploads.routes(),
            *downloads.routes(),
        ],
    )


async def show_sign_in(_: Request) -> Response:
    """The form."""
    return HTMLResponse(_SIGN_IN.format(error=""))


async def sign_in(request: Request) -> Response:
    """Takes a token that a service accepts and keeps it in a cookie that scripts cannot read."""
    body = await request.body()
    if len(body) > _MAX_FORM_BYTES:
        return HTMLResponse(_SIGN_IN.format(error="too long"), status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    token = parse_qs(body.decode("utf-8", errors="replace")).get("token", [""])[0].strip()
    error = await run_in_threadpool(_refusal, token)
    if error is not None:
        return HTMLResponse(_SIGN_IN.format(error=escape(error)), status_code=HTTPStatus.UNAUTHORIZED)
    response = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
    secure = request.url.scheme == "https"
    response.set_cookie(TOKEN_COOKIE, token, httponly=True, samesite="strict", secure=secure, max_age=_YEAR_S)
    return response


async def sign_out(_: Request) -> Response:
    """Forgets the token."""
    response = RedirectResponse("/signin", status_code=HTTPStatus.SEE_OTHER)
    response.delete_cookie(TOKEN_COOKIE)
    return response


async def choose_language(request: Request) -> Response:
    """Keeps ja or en in a cookie and goes back to the page."""
    response = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
    language = request.path_params["language"]
    if language in ("ja", "en"):
        response.set_cookie(LANGUAGE_COOKIE, language, samesite="strict", max_age=_YEAR_S)
    return response


def _refusal(token: str) -> str | None:
    """Why no service accepts the token, in both languages; None when one does."""
    try:
        with Client(token=token) as client:
            client.system()
    except AiftError as error:
        return f"{error.message_ja} / {error.message_en}"
    return None
