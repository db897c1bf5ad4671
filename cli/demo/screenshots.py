"""Takes the pictures for README and docs from a running demo: ``python -m tombolo.cli.demo.screenshots [DEMO [FOLDER]]``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tombolo.cli.demo.airflow_api import Airflow
from tombolo.cli.demo.demos import DEMOS, HOSPITALS, LENDING, WDBC, Demo
from tombolo.cli.demo.instance import REPOSITORY

Pages = dict[str, tuple[str, str, str]]
"""By the name of each picture: the party, the path, and a text that the page shows when it is ready."""
_SIZE = (1500, 920)
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    f"--window-size={_SIZE[0]},{_SIZE[1]}",
)


def clinic_pages(run: str) -> Pages:
    """The pages to photograph after ``make up``."""
    train, at = f"/dags/{WDBC.agreement}_train", quote(run, safe="")
    return {
        "grid": ("clinic", f"{train}/runs/{at}", "rounds"),
        "federation": ("clinic", f"{train}/runs/{at}/plugin/federation", "Training loss"),
        "console-overview": ("clinic", "/plugin/federations", "Parties and signatures"),
        "console-overview-dark": ("clinic", "/plugin/federations", "Parties and signatures"),
        "console-run": ("clinic", f"{_console(WDBC, run)}#progress", "Training loss"),
        "console-artifacts": ("clinic", f"{_console(WDBC, run)}?page=2#artifacts", "Sent artifacts"),
        "console-contributions": ("clinic", f"{_console(WDBC, run)}#contributions", "Contributions and rewards"),
        "inbox": ("notary", "/dags/tombolo_inbox", "begin"),
    }


def hospital_pages(run: str) -> Pages:
    """The pages to photograph after ``make up-horizontal``."""
    train, at = f"/dags/{HOSPITALS.agreement}_train", quote(run, safe="")
    return {
        "horizontal-grid": ("registry", f"{train}/runs/{at}", "rounds"),
        "horizontal-sums": ("registry", f"{_console(HOSPITALS, run)}#attendance", "Clients in the sums"),
        "horizontal-client": ("north", f"{train}/runs/{at}/plugin/federation", "Training loss"),
    }


def lending_pages(run: str) -> Pages:
    """The pages to photograph after ``make up-lending``."""
    at = quote(run, safe="")
    return {
        "lending-form": ("bank", f"/dags/{LENDING.agreement}_query", "Trigger"),
        "lending-lender": ("cards", f"/dags/{LENDING.agreement}_query/runs/{at}/plugin/federation", "Lending query"),
    }


PAGES: dict[str, Callable[[str], Pages]] = {
    WDBC.agreement: clinic_pages,
    HOSPITALS.agreement: hospital_pages,
    LENDING.agreement: lending_pages,
}


def _console(demo: Demo, run: str) -> str:
    """The path of a run's page in the console."""
    return f"/plugin/federations/tombolo/runs/{demo.agreement}_train/{quote(run, safe='')}/"


def take(folder: Path, demo: Demo = WDBC) -> list[Path]:
    """Write all pictures of a running demo. Returns their paths."""
    report = json.loads((demo.root / "report.json").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with tempfile.TemporaryDirectory() as profile:
        browser = _browser(profile)
        try:
            for name, (party, path, text) in PAGES[demo.agreement](report["run"]).items():
                _log_in(browser, report["airflows"][party])
                browser.execute_script("localStorage.setItem('theme', arguments[0])", "dark" if name.endswith("-dark") else "light")
                browser.get(report["airflows"][party]["url"] + path)
                _wait(browser, text)
                if name.endswith("grid"):
                    _open_group(browser)
                if name.endswith("form"):
                    _open_form(browser)
                taken.append(folder / f"{name}.png")
                browser.save_screenshot(str(taken[-1]))
        finally:
            browser.quit()
    return taken


def _browser(profile: str) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def _log_in(browser: Any, airflow: dict[str, str]) -> None:
    """Store the login token in the cookie that Airflow's own login page uses."""
    token = Airflow(airflow["url"], airflow["user"], airflow["password"]).token()
    browser.get(f"{airflow['url']}/api/v2/version")
    browser.delete_all_cookies()
    browser.add_cookie({"name": "_token", "value": token, "path": "/"})


def _wait(browser: Any, text: str, seconds: float = 40) -> None:
    """Wait for a text on the page or in one of its frames, then two seconds more until the page is stable."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not _shows(browser, text):
        time.sleep(0.5)
    time.sleep(2)


def _shows(browser: Any, text: str) -> bool:
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By

    try:
        if text in browser.find_element(By.TAG_NAME, "body").text:
            return True
        for frame in browser.find_elements(By.TAG_NAME, "iframe"):
            browser.switch_to.frame(frame)
            shown = text in browser.find_element(By.TAG_NAME, "body").text
            browser.switch_to.default_content()
            if shown:
                return True
    except WebDriverException:
        browser.switch_to.default_content()
    return False


def _open_form(browser: Any) -> None:
    """Open the trigger form."""
    from selenium.webdriver.common.by import By

    browser.find_element(By.XPATH, "//button[contains(., 'Trigger')]").click()
    _wait(browser, "Questions")


def _open_group(browser: Any) -> None:
    """Unfold the task group of the legs."""
    from selenium.webdriver.common.by import By

    for button in browser.find_elements(By.CSS_SELECTOR, "button[aria-label*='xpand']")[:1]:
        button.click()
        time.sleep(2)


if __name__ == "__main__":
    wanted, where = ([*sys.argv[1:], "", ""])[:2]
    for picture in take(Path(where or REPOSITORY / "docs" / "images"), DEMOS[wanted or WDBC.agreement]):
        print(picture)
