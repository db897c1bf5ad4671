"""The model card in Markdown: what was trained, by whom, on which data, and how good it is. Pictures are separate files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tombolo.agreements.protocol import Protocol
from tombolo.fl_tasks.learning.gains import PICTURE, SHARES, lift
from tombolo.fl_tasks.learning.trees.part import importance


def card(record: Mapping[str, Any], part: Mapping[str, Any] | None, picture: str | None, protocol: Protocol) -> str:
    """The card of one registry record and model part. ``picture`` is the file name of the loss curve in the same folder."""
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
        f"{'' if joint else 'aligned '}rows that were not used for training.",
        "",
        *_table(("metric", "value"), ((name, f"{value:.4f}") for name, value in record["evaluation"]["metrics"].items())),
        "",
        f"Gate of the agreement: {_gate(record.get('quality'))}.",
        "",
    ]
    if curve := record["evaluation"].get("gains"):
        lines += ["## Gains", "", *_table(("rows with the highest scores", "share of all positives"), _gains(curve)), ""]
        lines += [f"The best tenth of the rows has {lift(curve):.2f} times as many positives as a random tenth.", ""]
        lines += [f"![Gains on held-out rows]({PICTURE})", ""]
    if picture:
        lines += ["## Loss by round", "", f"![Training loss by round]({picture})", ""]
    lines += ["## How it was trained", "", *_table(("parameter", "value"), _parameters(record)), ""]
    if privacy := record.get("privacy"):
        lines += ["## Privacy of training rows", "", *_table(("", "value"), _privacy(privacy)), ""]
        lines += [
            "Differential privacy of single training rows, against everybody except the aggregator. The aggregator adds the noise.",
            "",
        ]
    if part:
        own = [str(name) for name in part["names"]]
        lines += [
            "## The model" if joint else "## This party's part",
            "",
            f"{len(own)} encoded columns, {part['rounds']} rounds: {', '.join(f'`{_md(name)}`' for name in own)}.",
            "Every client holds the same model."
            if joint
            else "It stays in this party's registry. Every other party holds its own part, and nobody holds all parts.",
            "",
        ]
    if part and "trees" in part:
        head = ("column", "share of gain", "splits") if joint else ("party", "column", "share of gain", "splits")
        lines += ["## Importance of the columns", "", *_table(head, (row[-len(head) :] for row in _importance(part))), ""]
    lines += [
        "## Parties and agreement",
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
        "It is valid only for the parties named above, for rows of the same population as the "
        f"{'training' if joint else 'aligned'} rows, and for tables that are prepared in the same way as for training. "
        "Monitor the drift of its scores."
        f"{'' if joint else ' A single part predicts nothing useful.'}",
        "",
    ]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def _importance(part: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """What the guest sees: its own columns by name, and the hosts' columns by alias unless the agreement discloses names."""
    return ((_md(row["party"]), _md(row["column"]), f"{row['gain']:.4f}", f"{row['splits']}") for row in importance(part)[:30])


def _gains(curve: Sequence[float]) -> Iterable[tuple[str, str]]:
    return ((f"{SHARES[at]:.0%}", f"{curve[at]:.1%}") for at in (1, 2, 4, 6, 10))


def _privacy(spent: Mapping[str, float]) -> Iterable[tuple[str, str]]:
    """The privacy cost of the run's rounds, and the noise."""
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
    return ((_md(party), member["role"], _md(member["approver"])) for party, member in record["parties"].items())


def _gate(quality: Mapping[str, Any] | None) -> str:
    if quality is None:
        return "none"
    bound = f"at least {quality['minimum']:g}" if quality.get("minimum") is not None else f"at most {quality['maximum']:g}"
    return f"{quality['metric']} {bound}, passed"


def _md(text: str) -> str:
    """The name of a column or a peer. Characters with a meaning in Markdown or HTML become blanks."""
    return "".join(letter if letter.isprintable() and letter not in "|`<>[]" else " " for letter in str(text))
