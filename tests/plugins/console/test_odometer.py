"""The console's panel of what was released: the odometer's numbers, the party's own names, and what is wrong, if something is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import httpx
import pytest

from tests.federation import Federation
from tests.fl_tasks.privacy.metered import change_settings, joined
from tests.fl_tasks.privacy.paying import release, segment
from tests.plugins.console.settled import served
from tombolo.plugins.console.pages import amount


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    made = joined(tmp_path_factory.mktemp("released"))
    change_settings(made, "clinic", lambda document: document["agreements"]["trial"].update(population="<b>patients</b>"))
    context = made.context("clinic")
    own = {"to": ("lab",), "population": context.population}
    context.odometer.pay([release("a", 1234, 5000, **own), release("b", 95, 100, meter="metric", run="run-2", **own)])
    context.odometer.pay([release("c", 3, None, meter="size", to=("lab", "notary")), release("d", 9, 10, to=("elsewhere",))])
    return made


@pytest.fixture
def console(fed: Federation, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("clinic")))
    monkeypatch.setattr("tombolo.plugins.console.facts.odometer._ODOMETERS", {})
    with served() as address:
        yield address


def test_the_numbers_are_the_odometers(console: str, fed: Federation) -> None:
    text = httpx.get(f"{console}/").text
    shown = {name: float(value) for value, name in re.findall(r'<data value="([^"]+)" data-fact="released-([^"]+)"', text)}
    assert shown == {"lab-progress": 1234, "lab-metric": 95, "lab-size": 3, "notary-size": 3}
    assert "elsewhere" not in text and "&lt;b&gt;patients&lt;/b&gt;" in text and "<b>patients" not in text
    assert "3\u202f766" in text and "95.0 %" in text and "What used most" in text
    fed.context("clinic").odometer.pay([release("late", 1, None, meter="size", to=("lab",))])
    assert "released-lab-size" in httpx.get(f"{console}/").text


def test_a_damaged_odometer_is_shown_as_such(console: str, fed: Federation) -> None:
    path = fed.root / "clinic" / "store" / segment(1)
    before = path.read_bytes()
    path.write_bytes(b"nonsense")
    try:
        text = httpx.get(f"{console}/").text
    finally:
        path.write_bytes(before)
    assert "TMB-PRIV-002" in text and "Nothing is released until" in text and "Runs" in text


def test_nothing_yet(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("notary")))
    with served() as address:
        assert "Nothing is counted yet" in httpx.get(f"{address}/").text


def test_amounts() -> None:
    assert [amount(value) for value in (0, 5.25, 99, 1234.6)] == ["0", "5.25", "99", "1\u202f235"]


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="Debian's chromium-driver is not installed")
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_panel_fits_its_page(console: str, tmp_path: Path, mode: str) -> None:
    from tombolo.cli.demo.screenshots import _browser

    browser = _browser(str(tmp_path / "profile"))
    try:
        browser.get(f"{console}/")
        browser.execute_script("localStorage.setItem('theme', arguments[0])", mode)
        browser.get(f"{console}/")
        browser.execute_script("document.querySelector('.released').closest('section').querySelector('details').open = true")
        browser.execute_script("document.querySelector('.released').scrollIntoView({block: 'center'})")
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        browser.save_screenshot(str(tmp_path / f"{mode}.png"))
    finally:
        browser.quit()
