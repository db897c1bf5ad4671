"""The model card: what was trained, with whom, on what, and how good it is; in Markdown, with the pictures beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tombolo.agreements.protocol import Protocol
from tombolo.fl_tasks.learning.gains import PICTURE, SHARES, lift
from tombolo.fl_tasks.learning.trees.part import importance


def card(record: Mapping[str, Any], part: Mapping[str, Any] | None, picture: str | None, protocol: Protocol) -> str:
    """The card of one party's registry record and part; ``picture`` is the file name of the loss curve beside it."""
    run, joint = record["version"], protocol.family == "horizontal"
    lines = [
        f"# Model {record['agreement']}, version {run}",
        "",
        f"Trained by {len(record['parties'])} organisations together: {protocol.title}. "
        f"This card is written by **{_md(record['party'])}** ({record['role']})"
        f"{'' if joint else ' and describes its own part only'}.",
        "",
        "## Quality on held-out rows",
        "",
        f"Measured {'by sums over clients' if joint else 'by the label holder'} on {record['evaluation']['rows']} "
        f"{'' if joint else 'aligned '}rows that were not trained on.",
        "",
        *_table(("metric", "value"), ((name, f"{value:.4f}") for name, value in record["evaluation"]["metrics"].items())),
        "",
        f"Gate of the agreement: {_gate(record.get('quality'))}.",
        "",
    ]
    if curve := record["evaluation"].get("gains"):
        lines += ["## Gains", "", *_table(("best rows", "positives among them"), _gains(curve)), ""]
        lines += [f"The best tenth holds {lift(curve):.2f} times as many as a tenth picked at random.", ""]
        lines += [f"![Gains on held-out rows]({PICTURE})", ""]
    if picture:
        lines += ["## Loss by round", "", f"![Training loss by round]({picture})", ""]
    lines += ["## How it was trained", "", *_table(("parameter", "value"), _parameters(record)), ""]
    if privacy := record.get("privacy"):
        lines += ["## Privacy of training rows", "", *_table(("", "value"), _privacy(privacy)), ""]
        lines += ["Differential privacy of single training rows towards everybody but the aggregator, which adds the noise.", ""]
    if part:
        own = [str(name) for name in part["names"]]
        lines += [
            "## The model" if joint else "## This party's part",
            "",
            f"{len(own)} encoded columns, {part['rounds']} rounds: {', '.join(f'`{_md(name)}`' for name in own)}.",
            "Every client holds the same model."
            if joint
            else "It stays in this party's registry; other parties hold theirs, and nobody holds all.",
            "",
        ]
    if part and "trees" in part:
        head = ("column", "share of gain", "splits") if joint else ("party", "column", "share of gain", "splits")
        lines += ["## What the columns brought", "", *_table(head, (row[-len(head) :] for row in _importance(part))), ""]
    lines += [
        "## Who and under which terms",
        "",
        *_table(("party", "role", "joined by"), _parties(record)),
        "",
        *_table(
            ("document", "digest"),
            (
                ("agreement", f"`{record['agreement_digest']}`"),
                ("manifest of the run", f"`{record['manifest_digest']}`"),
            ),
        ),
        "",
        f"Published {record['published']}.",
        "",
        "## Limits of use",
        "",
        f"{protocol.form}. "
        f"It is valid for rows of the population that was {'trained on' if joint else 'aligned'}, at the parties named, "
        "with tables prepared as they were for training; watch the drift of its scores."
        f"{'' if joint else ' A part alone predicts nothing useful.'}",
        "",
    ]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def _importance(part: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """The guest's view: its own columns by name, hosts' by alias unless the agreement lets names be known."""
    return ((_md(row["party"]), _md(row["column"]), f"{row['gain']:.4f}", f"{row['splits']}") for row in importance(part)[:30])


def _gains(curve: Sequence[float]) -> Iterable[tuple[str, str]]:
    return ((f"{SHARES[at]:.0%}", f"{curve[at]:.1%}") for at in (1, 2, 4, 6, 10))


def _privacy(spent: Mapping[str, float]) -> Iterable[tuple[str, str]]:
    """What the run's rounds cost, and by what noise."""
    return (
        ("epsilon", f"{spent['epsilon']:.4g}"),
        ("delta", f"{spent['delta']:.4g}"),
        ("noise, in units of the clip", f"{spent['noise']:.4g}"),
        ("clip of a row's gradient", f"{spent['clip']:.4g}"),
    )


def _parameters(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return (
        ("protocol", record["protocol"]),
        *((name, f"{value}") for name, value in sorted(record["parameters"].items())),
    )


def _parties(record: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    return ((_md(party), one["role"], _md(one["approver"])) for party, one in record["parties"].items())


def _gate(quality: Mapping[str, Any] | None) -> str:
    if quality is None:
        return "none"
    bound = f"at least {quality['minimum']:g}" if quality.get("minimum") is not None else f"at most {quality['maximum']:g}"
    return f"{quality['metric']} {bound}, passed"


def _md(text: str) -> str:
    """A name of a column or a peer, with what Markdown or HTML would act on blanked out."""
    return "".join(letter if letter.isprintable() and letter not in "|`<>[]" else " " for letter in str(text))
