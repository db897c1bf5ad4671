"""Progress fits a terminal of 80 columns: one line per party, whatever the party does; elsewhere lines are whole."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from tombolo.cli.demo.progress import display as demo_display
from tombolo.cli.simulation.display import progress as simulation_display

LONG = "train.rounds_001_010, evaluate (deferred); round 10, loss 0.06931, and so on and so forth without an end in sight"
PARTIES = ("clinic", "social-network", "registry")


def terminal(width: int = 80) -> tuple[Console, StringIO]:
    output = StringIO()
    return Console(file=output, width=width, force_terminal=True, color_system=None, legacy_windows=False), output


def assert_fits(output: StringIO, width: int) -> None:
    lines = [line.split("\r")[-1] for line in output.getvalue().replace("\x1b[2K", "").replace("\x1b[1A", "").splitlines()]
    shown = [line.removesuffix("\x1b[?25h").removeprefix("\x1b[?25l") for line in lines]
    assert max(map(len, shown)) <= width
    for party in PARTIES:
        last = [line for line in shown if party in line][-1]
        assert "0:00:0" in last, "the time is not cut off"
    assert not any(line.strip().startswith(("and so", "loss", "without")) for line in shown)


@pytest.mark.parametrize("width", [80, 120])
def test_the_demos_bars_do_not_wrap(width):
    console, output = terminal(width)
    with demo_display(console, PARTIES) as show:
        for party in PARTIES:
            show.party(party, LONG, 3, 10)
        show.say(LONG)
    assert_fits(output, width)


def test_a_simulations_bars_do_not_wrap():
    console, output = terminal()
    with simulation_display(console, dict.fromkeys(PARTIES, "aggregator"), 10) as listen:
        for party in PARTIES:
            listen(party, {"event": "stage", "stage": "validate"})
            listen(party, {"event": "facts", "round": 3, "loss": 0.25, "clients": 4, "sum_without": "north, east, south, west"})
    assert_fits(output, 80)


def test_without_a_terminal_lines_are_whole():
    output = StringIO()
    with demo_display(Console(file=output, width=80), PARTIES) as show:
        show.party("clinic", LONG)
    with simulation_display(Console(file=output, width=80), dict.fromkeys(PARTIES, "host"), 10) as listen:
        listen("clinic", {"event": "facts", "loss": 0.25, "note": "x" * 50})
    lines = output.getvalue().splitlines()
    assert len(lines) == 2 and lines[0].endswith(LONG)
