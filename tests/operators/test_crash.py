"""kill -9 of a task, a scheduler and a triggerer in the middle of a round; silent, refusing and aborting peers. Real Airflows."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.operators.airflows import AGREEMENT, ASKED, Airflows, three_airflows

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(480)]
DAG, QUESTION = f"{AGREEMENT}_train", f"{ASKED}_train"
HOLDERS = ("clinic", "laboratory")
FIRST_LEG, SECOND_LEG = "train.rounds_001_003", "train.rounds_004_006"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflows]:
    with three_airflows(tmp_path_factory.mktemp("airflows")) as three:
        yield three


def test_killed_task_goes_on_from_its_checkpoint(three: Airflows) -> None:
    run = three.airflows["clinic"].trigger(DAG, {}, "killed-task")
    three.until("second round", lambda: three.reached_round("clinic", run, 2), 240)
    before = {party: three.artifacts(party, run) for party in three.airflows}
    os.kill(three.task("clinic", DAG, run, FIRST_LEG)["pid"], signal.SIGKILL)
    three.all_succeed(DAG, run)
    assert three.task("clinic", DAG, run, FIRST_LEG)["try_number"] == 2
    three.assert_unharmed(HOLDERS, run, before)


def test_killed_scheduler_and_triggerer(three: Airflows) -> None:
    run = three.airflows["clinic"].trigger(DAG, {}, "killed-scheduler")
    three.until("second round", lambda: three.reached_round("clinic", run, 2), 240)
    before = {party: three.artifacts(party, run) for party in three.airflows}
    scheduler = three.supervisor.process(three.instances["laboratory"], "scheduler")
    os.kill(scheduler.pid, signal.SIGKILL)
    three.until("deferred task", lambda: three.task("clinic", DAG, run, SECOND_LEG)["state"] == "deferred")
    os.kill(three.supervisor.process(three.instances["clinic"], "triggerer").pid, signal.SIGKILL)
    three.supervisor.restart(three.instances["laboratory"], three.environments["laboratory"], "scheduler")
    three.supervisor.restart(three.instances["clinic"], three.environments["clinic"], "triggerer")
    three.all_succeed(DAG, run)
    with contextlib.suppress(ProcessLookupError):  # a killed scheduler's idle workers wait for ever
        os.killpg(scheduler.pid, signal.SIGKILL)
    three.assert_unharmed(HOLDERS, run, before)


def test_silent_peer_costs_no_slot_and_is_named_at_the_deadline(three: Airflows) -> None:
    run = three.airflows["clinic"].trigger(QUESTION, {}, "silence")
    three.until("deferred task", lambda: three.task("clinic", QUESTION, run, "join")["state"] == "deferred")
    three.until("end of the wait", lambda: three.ended("clinic", QUESTION, run, "join"), 150)
    log = three.airflows["clinic"].log(QUESTION, run, "join", three.task("clinic", QUESTION, run, "join")["try_number"])
    assert "TMB-EXCH-003" in log and "party laboratory" in log and "The message join did not come" in log
    assert three.airflows["clinic"].wait_run(QUESTION, run, 60) == "failed"


def _answer(three: Airflows, party: str, run: str, answer: str) -> None:
    three.until("question", lambda: three.task(party, QUESTION, run, "approve")["state"] == "awaiting_input")
    time.sleep(6)  # a person reads; an answer within Airflow's own loop time may count as a crash of the asking task
    details = f"/api/v2/dags/{QUESTION}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
    three.airflows[party].patch(details, {"chosen_options": [answer], "params_input": {}})


def test_a_person_decides_and_a_refusal_stops_everybody(three: Airflows) -> None:
    run = three.airflows["clinic"].trigger(QUESTION, {}, "refusal")
    for party, answer in (("laboratory", "Approve"), ("notary", "Reject")):
        _answer(three, party, run, answer)
    for party in ("clinic", "laboratory"):
        assert three.airflows[party].wait_run(QUESTION, run, 90) == "failed"
        log = three.airflows[party].log(QUESTION, run, "join", 1)
        assert "(party notary, step join): A peer aborted the run. notary failed at approve with TMB-RUN-007" in log, party
    assert three.airflows["notary"].wait_run(QUESTION, run, 90) == "failed"
    assert "notary failed at approve with TMB-RUN-007" in three.airflows["notary"].log(QUESTION, run, "abort", 1)
    assert b'"approver":"admin"' in (three.context("laboratory", ASKED).run_area(run).get("join") or b"")


def test_a_task_that_is_marked_as_failed_is_named_at_all_parties(three: Airflows) -> None:
    """The laboratory hears of it while it waits, the notary when it comes to join."""
    run = three.airflows["clinic"].trigger(QUESTION, {}, "marked")
    _answer(three, "laboratory", run, "Approve")
    three.until("clinic waiting", lambda: three.task("clinic", QUESTION, run, "join")["state"] in ("running", "deferred"))
    three.airflows["clinic"].patch(f"/api/v2/dags/{QUESTION}/dagRuns/{run}/taskInstances/join", {"new_state": "failed"})
    for party in ("clinic", "laboratory", "notary"):
        if party == "notary":
            _answer(three, party, run, "Approve")
        assert three.airflows[party].wait_run(QUESTION, run, 90) == "failed"
        assert "clinic failed at join with TMB-RUN-002" in three.airflows[party].log(QUESTION, run, "abort", 1), party
    for party in ("laboratory", "notary"):
        assert "A peer aborted the run. clinic failed at join" in three.airflows[party].log(QUESTION, run, "join", 1), party


def test_pages_are_for_those_who_may_read_the_dag_and_stay_in_their_folder(three: Airflows) -> None:
    """The page of one run, its files, and nothing beside them."""

    def status(path: str, token: str | None) -> int:
        url = f"{three.airflows['clinic'].url}/tombolo/runs/{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(trust_env=False) as client:
            answer = client.get(url, headers=headers)
        if answer.status_code == 200:
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        return answer.status_code

    token = three.airflows["clinic"].token()
    page = f"{DAG}/undisturbed/"
    assert status(page, None) == 401
    assert status(page, token) == 200
    assert status(f"{page}validation/index.html", token) == 200
    for outside in (
        "..%2f..%2f..%2fkeys.json",
        "..%2f..%2f..%2fparty.yaml",
        "validation/..%2f..%2fother/index.html",
        "missing.html",
    ):
        assert status(page + outside, token) == 404, outside
    assert status(f"{AGREEMENT}_monitor/undisturbed/", token) == 404


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="Debian's chromium-driver is not installed")
def test_the_console_inside_the_airflow_ui(three: Airflows, tmp_path: Path) -> None:
    """A run is followed to its block in the run's tab; the overview has its own entry; the numbers are the ledger's; both modes."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    from tombolo.cli.demo.screenshots import _browser, _log_in

    one = three.instances["clinic"]
    browser = _browser(str(tmp_path / "profile"))
    wait = WebDriverWait(browser, 240, ignored_exceptions=[StaleElementReferenceException])

    def shown(selector: str) -> list[str]:
        found = browser.find_elements(By.CSS_SELECTOR, selector)
        return [element.get_attribute("value") or element.text for element in found]

    def enter_frame() -> None:
        browser.switch_to.default_content()
        browser.switch_to.frame(wait.until(lambda _: browser.find_element(By.CSS_SELECTOR, "iframe[title=Federation]")))
        wait.until(lambda _: shown("main"))

    try:
        _log_in(browser, {"url": one.url, "user": "admin", "password": one.password})
        run = three.airflows["clinic"].trigger(DAG, {}, "watched")
        three.until("join", lambda: three.context("clinic").run_area(run).get("manifest"), 120)
        browser.get(f"{one.url}/dags/{DAG}/runs/{run}/plugin/federation")
        enter_frame()
        assert shown("#progress .badge") == ["running"]
        wait.until(lambda _: shown("#progress .badge") == ["settled"])  # by itself: the page follows the run
        three.all_succeed(DAG, run)
        browser.refresh()
        enter_frame()
        context = three.context("clinic")
        books = context.books(run)
        assert shown("[data-fact=artifacts]") == [str(len(books.entries("sent")))]
        assert shown("[data-fact=sent] data") == [str(sum(books.bytes_to().values()))]
        metrics = next(entry for entry in context.chain.entries(run) if entry.kind == "metrics").body["metrics"]
        assert shown("[data-fact=metric-auc]") == [str(metrics["auc"])]
        assert "validate" in "".join(shown(".task .name"))

        task = browser.find_element(By.PARTIAL_LINK_TEXT, "validate")
        address = task.get_attribute("href")
        task.click()
        wait.until(lambda _: browser.current_url == address)
        browser.switch_to.default_content()
        wait.until(lambda _: "validate" in browser.find_element(By.TAG_NAME, "body").text)

        browser.get(one.url)
        wait.until(lambda _: browser.find_element(By.PARTIAL_LINK_TEXT, "Federation")).click()
        wait.until(lambda _: "/plugin/federations" in browser.current_url)
        grounds = {}
        for mode in ("light", "dark"):
            browser.switch_to.default_content()
            browser.execute_script("localStorage.setItem('theme', arguments[0])", mode)
            browser.get(f"{one.url}/plugin/federations")
            enter_frame()
            wait.until(lambda _: shown(f"#{AGREEMENT} [data-fact=height]"))
            grounds[mode] = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
            browser.switch_to.default_content()
            around = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
            assert grounds[mode] == around, "the page has the colour of Airflow's own"
        assert grounds["light"] != grounds["dark"]
        enter_frame()
        assert shown(f"#{AGREEMENT} [data-fact=entries]") == [str(len(list(context.chain.entries())))]
        assert shown(f"#{AGREEMENT} [data-fact=height]") == [str(context.blocks.height())]
        assert run in shown(f"#{AGREEMENT} tbody th")
        browser.find_element(By.LINK_TEXT, run).click()
        wait.until(lambda _: run in "".join(shown("h1")))
        browser.switch_to.default_content()
        assert f"/plugin/federations/tombolo/runs/{DAG}/{run}/" in browser.current_url, "a page of the console has an address"
    finally:
        browser.quit()
