"""The console's pages: for readers of the DAG alone, everything escaped, nothing private, and they work in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.federation import Federation
from tests.fl_tasks.ledger.settlement.test_settle import joined
from tests.plugins.console.settled import RUN, served, settled
from tombolo.fl_tasks.models.reading import part_of_version
from tombolo.fl_tasks.runtime.aborts import ABORT
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.align import TooFewCommon
from tombolo.fl_tasks.workflow.join import invite
from tombolo.plugins.console.facts.run import Closing
from tombolo.plugins.console.pages import money, page, size
from tombolo.storage.books import Entry

SCRIPT = "<script>document.title='run'</script>"
HOSTILE = f"<html><body><h1>Results</h1>{SCRIPT}<img src=x onerror=\"document.title='run'\"></body></html>"
CURVE = "<svg xmlns='http://www.w3.org/2000/svg' width='7' height='5'><rect width='7' height='5'/></svg>"
CARD = f"""# Model {SCRIPT}

[away](javascript:document.title='run') ![curve](loss.svg)

| auc |
|---|
| 0.99 |
"""
ASSETS = ("console.css", "console.js", "icon.svg", "icon-dark.svg")


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    made = settled(tmp_path_factory.mktemp("settled"))
    folder = made.context("clinic").docs(RUN)
    (folder / "validation").mkdir()
    (folder / "validation" / "index.html").write_text(HOSTILE)
    (folder / "model-card.md").write_text(CARD)
    (folder / "loss.svg").write_text(CURVE)
    return made


@pytest.fixture
def console(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("clinic")))
    with served() as address:
        yield address


def facts(text: str) -> dict[str, str]:
    """What a page says by the names that its elements carry."""
    inner = dict(re.findall(r'data-fact="([^"]+)">\s*<data value="([^"]+)"', text))
    return {**inner, **{name: value for value, name in re.findall(r'<data value="([^"]+)" data-fact="([^"]+)"', text)}}


# -- who may read --------------------------------------------------------------------------------------------------------------


def test_nobody_reads_anything_without_a_login(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    from tombolo.plugins.console.app import app

    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("clinic")))
    fill = {"dag_id": "trial_train", "run_id": RUN, "path:path": "model-card.md", "name": ASSETS[0]}
    paths = {re.sub(r"{([^}]+)}", lambda found: fill[found.group(1)], route.path) for route in app.routes}
    assert len(paths) == 6
    with served() as address:
        app.dependency_overrides = {}
        for path in paths - {f"/static/{ASSETS[0]}"}:
            answer = httpx.get(address + path)
            assert answer.status_code == 401, path
            assert set(answer.json()) == {"detail"}, path
        assert httpx.get(f"{address}/static/{ASSETS[0]}").status_code == 200


def test_the_overview_shows_only_what_the_user_may_read(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("clinic")))
    with served(readable="other") as address:
        answer = httpx.get(f"{address}/")
    assert answer.status_code == 200 and "No agreement to show" in answer.text
    assert "trial" not in answer.text and RUN not in answer.text


def test_nothing_from_outside_the_runs_folder(console: str, fed: Federation) -> None:
    folder = fed.context("clinic").docs(RUN)
    secret = fed.root / "clinic" / "secret.md"
    secret.write_text("a secret")
    (folder / "link.md").symlink_to(secret)
    (folder / "inside.md").symlink_to(folder / "model-card.md")
    (folder / ".hidden.md").write_text("a secret")
    (folder / "scores.parquet").write_text("a secret")
    home = f"{console}/runs/trial_train/{RUN}"
    assert httpx.get(f"{home}/inside.md").status_code == 200
    for path in ("link.md", ".hidden.md", "scores.parquet", "..%2f..%2f..%2fsecret.md", "%2e%2e/%2e%2e/%2e%2e/secret.md", "%00.md"):
        assert httpx.get(f"{home}/{path}").status_code == 404, path
    for run in (
        "trial_train/none",
        f"trial_predict/{RUN}",
        f"trial_monitor/{RUN}",
        f"other_train/{RUN}",
        f"..%2ffederations_train/{RUN}",
        "trial_train/..%2f..%2f..",
    ):
        for part in ("", "live", "artifacts"):
            answer = httpx.get(f"{console}/runs/{run}/{part}")
            assert answer.status_code == 404 and "a secret" not in answer.text, run
    for name in ("none.css", "..%2fapp.py", "%2e%2e/app.py"):
        assert httpx.get(f"{console}/static/{name}").status_code == 404, name


# -- what they read ------------------------------------------------------------------------------------------------------------


def test_the_numbers_are_the_ledgers(console: str, fed: Federation) -> None:
    context = fed.context("clinic")
    overview = facts(httpx.get(f"{console}/").text)
    assert overview["entries"] == str(len(list(context.chain.entries())))
    answer = httpx.get(f"{console}/runs/trial_train/{RUN}/")
    shown, books = facts(answer.text), context.books(RUN)
    assert shown["artifacts"] == str(len(books.entries("sent")))
    assert shown["sent"] == str(sum(books.bytes_to().values())) and shown["sent-lab"] == str(books.bytes_to()["lab"])
    metrics = context.blocks.get(1)["block"]["facts"]["metrics"]
    assert {name: float(shown[f"metric-{name}"]) for name in metrics} == metrics
    received = httpx.get(f"{console}/runs/trial_train/{RUN}/artifacts", params={"book": "received"}).text
    assert facts(received)["artifacts"] == str(len(books.entries("received")))


def test_a_page_of_artifacts_stays_small(console: str) -> None:
    home = f"{console}/runs/trial_train/{RUN}/artifacts"
    first, second = (httpx.get(home, params={"page": number}).text for number in (1, 2))
    assert first.count("<tr>") == 26 and "Page 1 of" in first and "Page 2 of" in second and first != second
    assert len(first) < 60_000
    assert httpx.get(home, params={"page": 0}).status_code == 422


def test_nothing_private_is_on_any_page(console: str, fed: Federation) -> None:
    context = fed.context("clinic")
    text = "".join(httpx.get(f"{console}{path}").text for path in ("/", f"/runs/trial_train/{RUN}/"))
    part = part_of_version(context, RUN).document
    for weight in filter(None, [*part["weights"], part["intercept"], *part["encoder"].get("mean", ())]):
        assert f"{weight:.5g}" not in text and str(weight) not in text
    assert not re.search(r"\b1-\d{4}\b", text), "an id of the tables"
    for secret in re.findall(r'"([A-Za-z0-9+/=]{24,})"', (fed.root / "clinic" / "keys.json").read_text()):
        assert secret not in text


def test_hostile_texts_are_shown_as_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = joined(tmp_path)
    run = fed.start()
    books = fed.context("clinic").books(run)
    evil = '"><img src=x onerror=alert(1)>'
    sent = Entry(
        evil, f"to-lab/trial/{run}/000001/train.{evil.replace('/', '')}/{SCRIPT}", SCRIPT, evil, 5, 1, (SCRIPT, evil), "2026-01-01"
    )
    books.book_sent(sent)
    books.book_received(sent)
    broken = tmp_path / "federations" / "broken"
    broken.mkdir()
    (broken / "agreement.yaml").write_text(f"name: broken\n'{SCRIPT}{evil}': 1\n")
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("clinic")))
    with served() as address:
        home = f"{address}/runs/trial_train/{run}"
        paths = ("", "live", "artifacts", f"artifacts?peer={evil}", f"artifacts?message={SCRIPT}", "artifacts?book=received")
        pages = [httpx.get(f"{home}/{path}") for path in paths] + [httpx.get(f"{address}/")]
    assert all(answer.status_code == 200 for answer in pages)
    for answer in pages:
        assert "<script>" not in answer.text and "<img" not in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    assert "&lt;script&gt;" in pages[0].text and "cannot be loaded" in pages[-1].text and "What helps" in pages[-1].text


def test_a_third_party_reads_who_failed_why_and_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = joined(tmp_path)
    for run, error in (("told", TooFewCommon("3 of 20, the first is Ada.")), ("hostile", None)):
        fed.start(run)
        if error is not None:
            abort(fed.context("clinic"), run, error, "align")
        else:
            exchange = fed.context("clinic").handshake(run)
            said = {"party": "clinic", "step": SCRIPT, "code": "TMB-EVIL-001", "cause": f"{SCRIPT} Remedy: run http://evil"}
            for peer in exchange.peers:
                exchange.send(ABORT["abort"], peer, 0, said)
        abort(fed.context("notary"), run, fed.context("notary").aborted(run))
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("notary")))
    with served() as address:
        told, hostile = (httpx.get(f"{address}/runs/trial_train/{run}/").text for run in ("told", "hostile"))
    notice = re.search(r'data-fact="failure">(.*?)</div>', told, re.DOTALL).group(1)
    for text in ("clinic failed at align", TooFewCommon.code, TooFewCommon.cause, "What helps:", TooFewCommon.remedy):
        assert text in notice, text
    assert "Ada" not in told and "failed at align <code>" in told
    notice = re.search(r'data-fact="failure">(.*?)</div>', hostile, re.DOTALL).group(1)
    assert "TMB-EVIL-001" in notice and "What helps:</strong> Ask clinic" in notice
    assert "://" not in notice and "<script>" not in hostile


def test_the_card_comes_without_its_markup(console: str) -> None:
    answer = httpx.get(f"{console}/runs/trial_train/{RUN}/")
    assert "<td>0.99</td>" in answer.text and "<h3>Model &lt;script&gt;" in answer.text
    assert "<script>" not in answer.text and 'href="javascript' not in answer.text


def test_settings_that_are_missing_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOMBOLO_PARTY", raising=False)
    with served() as address:
        answer = httpx.get(f"{address}/")
    assert answer.status_code == 503 and "TMB-SETTINGS-001" in answer.text and "What helps" in answer.text


def test_nothing_yet_is_a_state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = joined(tmp_path)
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("lab")))
    with served() as address:
        empty = httpx.get(f"{address}/").text
        invite(fed.context("clinic"), "soon")
        monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("clinic")))
        invited = httpx.get(f"{address}/runs/trial_train/soon/").text
    assert "No run yet" in empty and "No model yet" in empty and "Nothing is recorded yet" in empty
    for text in ("invited", "This party has not joined", "Not settled yet", "Still open", "No DAG run here", 'data-live="yes"'):
        assert text in invited, text


def test_contributions_and_rewards_are_shown_as_they_stand_in_the_block() -> None:
    contributions = {
        "metric": "auc",
        "rows": 100,
        "method": "shapley",
        "absent": "mean",
        "players": ["lab", "mill"],
        "baseline": 0.8,
        "coalitions": [{"members": [], "value": 0.8}, {"members": ["lab", "mill"], "value": 0.91}],
        "shapley": {"lab": 0.125, "mill": -0.015},
        "errors": {"lab": 0.003, "mill": 0.001},
        "leave_one_out": None,
        "volume": {"clinic": 0.5, "lab": 0.3, "mill": 0.2},
    }
    rewards = {"budget": 100001, "currency": "EUR", "refunds": {"lab": 1}, "rewards": {"lab": 100000, "mill": 0}}
    closing = Closing(
        1, "a" * 64, "0" * 64, ("clinic",), ("clinic",), datetime.now(UTC), (), {"lab": ["to-lab/x"]}, contributions, rewards
    )
    text = page("_closing.html", closing=closing, parts=_parts()).body.decode()
    shown = facts(text)
    assert (shown["shapley-lab"], shown["shapley-mill"], shown["volume-clinic"]) == ("0.125", "-0.015", "0.5")
    assert shown["reward-lab"] == "100000" and "1\u202f000.01 EUR" in text and "± 0.0030" in text
    assert "not computed" in text and "not a player" in text and "to-lab/x" in text


def _parts() -> object:
    from tombolo.plugins.console.pages import _environment

    return _environment().get_template("_parts.html").module


def test_the_plugin_starts_light() -> None:
    """The API server waits for its plugins: what reads the ledger is imported by the first request that needs it."""
    heavy = "('tombolo.fl_tasks', 'tombolo.agreements.terms')"
    program = f"import sys, tombolo.plugins.console.app; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert run.stdout.splitlines()[-1:] == ["[]"], run.stdout + run.stderr


def test_amounts_and_sizes_keep_their_exact_values() -> None:
    assert money(-123456789, "EUR") == "-1\u202f234\u202f567.89 EUR" and money(5, "USD") == "0.05 USD"
    assert str(size(1_234_567)) == '<data value="1234567">1.23&nbsp;MB</data>' and "999&nbsp;B" in size(999)


# -- in a browser --------------------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="Debian's chromium-driver is not installed")
def test_in_a_browser(console: str, fed: Federation, tmp_path: Path) -> None:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait

    from tombolo.cli.demo.screenshots import _browser

    home = f"{console}/runs/trial_train/{RUN}/"
    browser = _browser(str(tmp_path / "profile"))
    wait = WebDriverWait(browser, 20, ignored_exceptions=[StaleElementReferenceException])

    def one(selector: str) -> object:
        return browser.find_element(By.CSS_SELECTOR, selector)

    try:
        browser.get(home)
        assert browser.title == f"trial, run {RUN}"
        assert browser.execute_script("return document.images[0].naturalWidth") == 7

        one("[data-curve]").send_keys(Keys.ARROW_LEFT)
        assert one(".readout").text.startswith("round 2: ")
        one("body").send_keys(Keys.TAB)

        browser.execute_script("window.unharmed = true")
        Select(one("[name=peer]")).select_by_value("notary")
        sent = len([entry for entry in fed.context("clinic").books(RUN).entries("sent") if entry.peer == "notary"])
        wait.until(lambda _: one("[data-fact=artifacts]").get_attribute("value") == str(sent))
        browser.find_elements(By.CSS_SELECTOR, ".switch a")[1].click()
        received = len(fed.context("clinic").books(RUN).entries("received"))
        wait.until(lambda _: one("[data-fact=artifacts]").get_attribute("value") == str(received))
        one(".pager a[rel=next]").click()
        wait.until(lambda _: "Page 2 of" in one(".pager").text)
        assert browser.execute_script("return window.unharmed"), "the page was not loaded again"
        assert "book=received" in browser.current_url and "page=2" in browser.current_url
        browser.get(browser.current_url)
        assert "Page 2 of" in one(".pager").text

        grounds = []
        for mode in ("light", "dark"):
            browser.execute_script("localStorage.setItem('theme', arguments[0])", mode)
            browser.get(f"{console}/")
            assert browser.execute_script("return document.documentElement.dataset.theme") == mode
            grounds.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
        assert grounds[0] != grounds[1]

        browser.get(home)
        one("#validation a").click()
        assert one("h1").text == "Results"
        time.sleep(0.5)  # what an error handler would need to run
        assert browser.title != "run"
    finally:
        browser.quit()
