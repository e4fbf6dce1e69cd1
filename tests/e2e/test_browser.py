"""The main job in a real browser: upload, fine-tune, watch, generate. Pictures are kept in build/pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from aift import Client
from aift.registry.v1 import registry_pb2
from playwright.sync_api import Page, expect, sync_playwright

from tests import programs
from tests.e2e.conftest import ROOT, System

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.xdist_group("e2e")]

PICTURES = ROOT / "build" / "pictures"
_PATIENCE_MS = 90_000


@pytest.fixture
def browser_page(system: System) -> Iterator[Page]:
    """A fresh Japanese browser on the page of the running system."""
    chromium = programs.need("chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        context = browser.new_context(
            locale="ja-JP", viewport={"width": 1280, "height": 1300}, base_url=f"http://{system.addresses['page']}"
        )
        context.set_default_timeout(_PATIENCE_MS)
        expect.set_options(timeout=_PATIENCE_MS)
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        yield context.new_page()
        hosts = {urlsplit(url).hostname for url in asked if url.startswith("http")}
        assert hosts <= {"127.0.0.1", "localhost"}, "the page is whole without the Internet"
        browser.close()


def picture(page: Page, name: str) -> None:
    page.wait_for_timeout(800)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def test_the_main_job(browser_page: Page, client: Client, base_model: registry_pb2.BaseModel, tmp_path: Path) -> None:
    page = browser_page
    rows = (ROOT / "samples/data/sample_training_data.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    file = tmp_path / "browser.jsonl"
    file.write_text("\n".join(rows), encoding="utf-8")

    page.goto("/")
    expect(page.get_by_role("heading", name="ダッシュボード")).to_be_visible()
    expect(page.get_by_text("CPU使用率")).to_be_visible()
    picture(page, "dashboard")

    page.get_by_role("link", name="データ", exact=True).click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="アップロード", exact=True).click()
    expect(page.get_by_text("アップロード完了")).to_be_visible()
    picture(page, "data")
    page.reload()
    expect(page.get_by_text("アップロード完了")).to_be_visible()

    page.get_by_role("link", name="このデータでファインチューニング").click()
    expect(page.get_by_text("学習するパラメータ")).to_be_visible()
    picture(page, "finetune")
    page.get_by_role("button", name="ファインチューニング開始").click()
    expect(page.get_by_text("トークン/秒").first).to_be_visible()
    expect(page.get_by_text("学習中 · ")).to_be_visible()
    picture(page, "job")
    page.reload()
    expect(page.get_by_text("ファインチューニング完了")).to_be_visible()
    picture(page, "job-done")

    page.get_by_role("link", name="このモデルで生成").click()
    page.get_by_role("textbox", name="プロンプト").fill("数量を教えてください。")
    page.get_by_role("textbox", name="プロンプト").press("Control+Enter")
    page.get_by_role("button", name="テキスト生成", exact=True).click()
    expect(page.get_by_text("tokens/s").nth(1)).to_be_visible()
    picture(page, "generate")

    page.get_by_role("link", name="モデル管理").click()
    expect(page.get_by_text("この版で生成")).to_be_visible()
    page.get_by_role("tab", name="来歴").click()
    picture(page, "models")


def test_a_large_file_streams_and_goes_on_after_a_reload(browser_page: Page, client: Client, tmp_path: Path) -> None:
    page = browser_page
    file = tmp_path / "large.jsonl"
    row = '{"instruction": "次の文章を要約してください。", "response": "' + "とても長い文章です。" * 300 + '"}\n'
    file.write_text(row * 10_000, encoding="utf-8")

    page.goto("/data")
    page.locator("input[type=file]").set_input_files(file)
    page.route(
        "**/uploads/*?offset=*",
        lambda route: route.abort() if "offset=0" not in route.request.url else route.continue_(),
    )
    page.get_by_role("button", name="アップロード", exact=True).click()
    expect(page.get_by_text("接続を待っています")).to_be_visible()
    page.unroute("**/uploads/*?offset=*")
    page.reload()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="アップロード", exact=True).click()
    expect(page.get_by_text("アップロード完了")).to_be_visible()
    assert not any(url.endswith("offset=0") for url in sent)
    version = client.datasets.version("large")
    assert version.size_bytes == file.stat().st_size
    expect(page.get_by_role("link", name="ダッシュボード")).to_be_visible()
    picture(page, "data-large")


def test_several_files_are_sent_one_after_the_other(browser_page: Page, client: Client, tmp_path: Path) -> None:
    page = browser_page
    files = [tmp_path / f"several-{number}.jsonl" for number in range(3)]
    for number, file in enumerate(files):
        file.write_text('{"instruction": "色は？", "response": "青です。"}\n' * (number + 1), encoding="utf-8")
    page.goto("/data")
    page.locator("input[type=file]").set_input_files(files)
    expect(page.get_by_role("progressbar")).to_have_count(3)
    page.get_by_role("button", name="取り消す: several-1.jsonl").click()
    page.get_by_role("button", name="アップロード", exact=True).click()
    expect(page.get_by_text("datasets/several-0/versions/1 · 1 行")).to_be_visible()
    expect(page.get_by_text("datasets/several-2/versions/1 · 3 行")).to_be_visible()
    picture(page, "data-several")
    assert not [one for one in client.datasets.list() if one.name == "datasets/several-1"]


def test_other_hosts_cannot_pose_as_the_page(system: System) -> None:
    address = f"http://{system.addresses['page']}/"
    assert httpx.get(address).status_code == httpx.codes.OK
    assert httpx.get(address, headers={"host": "evil.example"}).status_code == httpx.codes.BAD_REQUEST


def test_a_wrong_token_does_not_sign_in(system: System) -> None:
    address = f"http://{system.addresses['page']}/signin"
    refused = httpx.post(address, data={"token": "<script>alert(1)</script>"})
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert "set-cookie" not in refused.headers
    assert "<script>" not in refused.text
    token = (system.state / "token").read_text().strip()
    welcome = httpx.post(address, data={"token": token})
    assert welcome.status_code == httpx.codes.SEE_OTHER
    cookie = welcome.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
