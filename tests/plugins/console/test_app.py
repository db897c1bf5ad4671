"""The run pages: for readers of the DAG alone, nothing from outside the run's folder, and no script runs in a browser."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

CARD = """# Model <script>document.title='run'</script>

[away](javascript:document.title='run') ![curve](loss.svg)

| auc |
|---|
| 0.99 |
"""
HOSTILE = (
    "<html><body><h1>Results</h1><script>document.title='run'</script><img src=x onerror=\"document.title='run'\"></body></html>"
)
CURVE = "<svg xmlns='http://www.w3.org/2000/svg' width='7' height='5'><rect width='7' height='5'/></svg>"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOMBOLO_DOCS", str(tmp_path / "docs"))
    folder = tmp_path / "docs" / "wdbc" / "first"
    (folder / "validation").mkdir(parents=True)
    (folder / "model-card.md").write_text(CARD)
    (folder / "loss.svg").write_text(CURVE)
    (folder / "validation" / "index.html").write_text(HOSTILE)
    return folder


@pytest.fixture
def home(folder: Path) -> Iterator[str]:
    """The address of the run's pages: the plugin's application, served to a reader who has logged in."""
    import uvicorn

    from plugins.tombolo_plugin import app, may_read

    app.dependency_overrides[may_read.dependency] = lambda: None
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/runs/wdbc_train/first"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        app.dependency_overrides.clear()


def test_every_page_asks_who_reads() -> None:
    from plugins.tombolo_plugin import app, may_read

    assert {route.path for route in app.routes} == {"/runs/{dag_id}/{run_id}/", "/runs/{dag_id}/{run_id}/{path:path}"}
    for route in app.routes:
        assert may_read in route.dependencies


def test_nothing_from_outside_the_runs_folder(home: str, folder: Path) -> None:
    secret = folder.parents[2] / "secret.md"
    secret.write_text("a secret")
    (folder / "link.md").symlink_to(secret)
    (folder / "inside.md").symlink_to(folder / "model-card.md")
    (folder / ".hidden.md").write_text("a secret")
    (folder / "scores.parquet").write_text("a secret")
    assert httpx.get(f"{home}/inside.md").status_code == 200
    for path in (
        "link.md",
        ".hidden.md",
        "scores.parquet",
        "..%2f..%2f..%2fsecret.md",
        "%2e%2e/%2e%2e/%2e%2e/secret.md",
        "none.md",
        "%00.md",
    ):
        assert httpx.get(f"{home}/{path}").status_code == 404, path
    for run in ("wdbc_train/none", "wdbc_monitor/first", "other_train/first", "wdbc_train/..%2f..%2f.."):
        assert httpx.get(f"{home.removesuffix('wdbc_train/first')}{run}/").status_code == 404, run


def test_the_page_shows_the_card_without_its_markup(home: str) -> None:
    answer = httpx.get(f"{home}/")
    assert "<td>0.99</td>" in answer.text
    assert "<script" not in answer.text
    assert 'href="javascript' not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="Debian's chromium-driver is not installed")
def test_no_script_runs_in_a_browser(home: str, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    from cli.demo.screenshots import _browser

    browser = _browser(str(tmp_path / "profile"))
    try:
        browser.get(f"{home}/")
        assert browser.title == "wdbc, run first"
        assert browser.find_element(By.TAG_NAME, "td").text == "0.99"
        assert browser.execute_script("return document.images[0].naturalWidth") == 7
        browser.find_element(By.CSS_SELECTOR, "#validation a").click()
        assert browser.find_element(By.TAG_NAME, "h1").text == "Results"
        time.sleep(0.5)  # what an error handler would need to run
        assert browser.title != "run"
    finally:
        browser.quit()
