"""The panel of a horizontal run: who was in the sums, and only what this party was told of it."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals
from tests.plugins.console.settled import served
from tombolo.fl_tasks.runtime.arrays import pack
from tombolo.storage.canonical import canonical


def rows(text: str) -> dict[str, list[str]]:
    """The panel's rows: a word per client."""
    panel = text.split('id="attendance"')[1].split("</section>")[0]
    found = re.findall(r'<tr><th scope="row">([^<]+)</th>(.*?)</tr>', panel)
    return {title: re.findall(r"<td><span[^>]*>([^<]+)</span></td>", cells) for title, cells in found}


@pytest.mark.slow
def test_every_party_sees_its_own_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = hospitals(tmp_path)
    run, three = fed.start(), list(HOSPITALS[:3])
    for round, there in ((1, list(HOSPITALS)), (2, three)):
        fed.context("centre").run_area(run).area("train").keep(f"closed/{round:06d}.0/masked", canonical(there))
    west = fed.context("west").run_area(run).area("train")
    west.keep("survivors/000001.0", canonical({"survivors": list(HOSPITALS)}))
    west.keep("checkpoints/000002", pack({"loss": []}))
    shown = {}
    for party in ("centre", "west", "north"):
        monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings(party)))
        with served() as address:
            shown[party] = httpx.get(f"{address}/runs/trial_train/{run}/live").text
    assert rows(shown["centre"]) == {"round 1": ["in"] * 4, "round 2": ["in", "in", "in", "missed"]}
    assert rows(shown["west"]) == {"round 1": ["in"] * 4, "round 2": ["not known", "not known", "not known", "missed"]}
    assert 'id="attendance"' not in shown["north"], "nothing is shown where nothing is known"
