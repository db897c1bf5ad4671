"""The chart of gains in a terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from tombolo.cli.demo.gains import bar, show
from tombolo.fl_tasks.learning.gains import SHARES


def test_a_bar_shows_both_models_and_a_random_choice():
    line = bar(0.75, 0.5, 0.25).plain
    assert (line.count("█"), line.count("▒"), line.index("┊"), len(line)) == (19, 10, 10, 40)
    assert "▒" not in bar(0.3, 0.5, 0.1).plain


def test_the_chart_names_shares_and_lift():
    together, alone = [min(1.0, 4 * share) for share in SHARES], [min(1.0, 2 * share) for share in SHARES]
    curves = {"shares": list(SHARES), "federated": together, "guest_only": alone}
    output = StringIO()
    show({"gains": curves, "lift": {"federated": 4.0, "guest_only": 2.0}}, Console(file=output, width=120))
    assert "40.0%" in output.getvalue() and "20.0%" in output.getvalue()
    assert "4.00 together, 2.00 for the guest alone" in output.getvalue() and "2.00 times as many" in output.getvalue()
