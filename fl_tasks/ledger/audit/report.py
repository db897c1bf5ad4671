"""The audit as one HTML page that needs nothing else: no script, no font, no network; light, dark and printable."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from tombolo.fl_tasks.ledger.audit.findings import Audit
from tombolo.fl_tasks.ledger.audit.history import History, chain_of, histories, plainly, shares
from tombolo.fl_tasks.ledger.audit.source import Source
from tombolo.fl_tasks.ledger.audit.verify import Ends

_STYLE = Path(__file__).with_name("style.css")
_NUMBERS = "n"
PROVES = {
    "agreement": "Terms and amendments follow each other; everybody who had to has signed.",
    "record": "No segment is missing or altered; each is signed and holds exactly the entries that were signed.",
    "blocks": "Each block is final by the members' votes, made by their attestations, and follows the one before it.",
    "reconciliation": "The party's kept books make the summaries that it attested, and every line is in the record.",
    "manifests": "Each run is the one that all participants signed before data was touched.",
    "equivocation": "Kept proofs that a party signed two different things for one place hold.",
    "bookings": "What was booked at the time of sending and receipt is what the record says.",
    "artifacts": "Artifacts still in the store are, byte for byte, those that were booked as sent.",
    "private objects": "Every private object is as it was sealed.",
}
_MEASURES = {"shapley": "Shapley value", "leave_one_out": "leave-one-out", "volume": "share of data"}


def page(source: Source, audit: Audit, ends: Ends) -> str:
    """The whole report of one party's audit."""
    found, unread = histories(source)
    runs = [one for one in found.values() if one.run]
    title = f"Audit of agreement {source.agreement.name}"
    parts = [
        f"<p class=over>Audit report</p><h1>{escape(title)}</h1>",
        f"<p>Made by <b>{escape(source.party)}</b> from its own record on {_time(datetime.now(UTC).isoformat())} UTC. "
        f"Agreement digest <code>{source.agreement.digest}</code></p>",
        _verdict(audit),
        _tiles(runs, ends),
        _checked(audit),
        _findings(audit, runs, unread),
        _left(runs),
        _members(source),
        "<h2>Runs</h2>" + ("".join(map(_run, runs)) or "<p class=quiet>No run has been recorded.</p>"),
        _chain(found),
        "<footer>What this page says of runs is taken from the record and the blocks. It is evidence as part of its signed bundle "
        "only: <code>tombolo audit verify --bundle FILE</code> compares both. Compare the agreement's digest and the last "
        "block's hash with another party's.</footer>",
    ]
    style = _STYLE.read_text(encoding="utf-8")
    head = '<meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{style}</style>"
    body = "\n".join(parts)
    return f"<!doctype html><html lang=en><head>{head}</head><body><main>{body}</main></body></html>\n"


def _verdict(audit: Audit) -> str:
    if audit.findings:
        text = (
            f"<strong>{several(len(audit.findings), 'findings')}.</strong> Something is not what it was signed to be; see Findings."
        )
        return f"<div class='verdict bad'>{text}</div>"
    return "<div class=verdict><strong>No findings.</strong> Everything that was checked is what it was signed to be.</div>"


def _tiles(runs: list[History], ends: Ends) -> str:
    counts = {"runs": len(runs), "blocks": ends.height, "segments": ends.segment}
    tiles = [
        *(several(number, what).split(" ") for what, number in counts.items()),
        (f"{sum(one.total('sent').count for one in runs):,}", "artifacts sent"),
        (size(sum(one.total("sent").bytes for one in runs)), "left the house"),
        (size(sum(one.total("received").bytes for one in runs)), "came in"),
    ]
    return "<div class=tiles>" + "".join(f"<div class=tile><b>{value}</b>{name}</div>" for value, name in tiles) + "</div>"


def _checked(audit: Audit) -> str:
    rows = []
    for part, counts in audit.counts.items():
        bad = sum(finding.part == part for finding in audit.findings)
        verdict = f"<span class='no once'>{several(bad, 'findings')}</span>" if bad else "<span class='yes once'>in order</span>"
        rows.append((f"<span class=once>{escape(part)}</span>", counted(counts), PROVES.get(part, ""), verdict))
    return "<h2>What was checked</h2>" + _table(("", "looked at", "what it shows", ""), rows)


def _findings(audit: Audit, runs: list[History], unread: list[str]) -> str:
    rows = [(f"<code>{escape(one.name)}</code>", f"<code>{one.code}</code>", escape(one.what)) for one in audit.findings]
    for run in runs:
        for event in run.of_kind("finding"):
            text = f"run {run.run}, with {event['subject']}: {plainly(event['body'].get('addresses', []))}"
            rows.append(("recorded by the party", f"<code>{escape(str(event['body'].get('code', '')))}</code>", escape(text)))
        for party, faces in run.evidence.items():
            rows.append(("proof kept", "", escape(f"run {run.run}: {party} signed two different statements: {faces}")))
    rows += [(f"<code>{escape(key)}</code>", "", "It could not be read and is not part of this report.") for key in unread]
    return "<h2>Findings</h2>" + (_table(("object", "code", "what"), rows) if rows else "<p>None.</p>")


def _members(source: Source) -> str:
    rows: list[tuple[str, ...]] = []
    for name, member in source.agreement.members.items():
        needed = [signature for _, signer, signature in source.agreement.signatures() if signer.name == name]
        signed = f"{sum(one is not None for one in needed)} of {len(needed)}"
        rows.append((escape(name), escape(member.role), f"<code>{member.fingerprint}</code>", signed))
    gone = {one for link in source.agreement.chain for one in link.members} - set(source.agreement.members)
    rows += [(escape(name), "left", "", "") for name in sorted(gone)]
    links = [
        (escape(link.label if link.label == "terms" else f"amendment {link.label}"), f"<code>{link.digest}</code>")
        for link in source.agreement.chain
    ]
    heads = ("party", "role", "key fingerprint", "signatures")
    return f"<h2>Agreement</h2>{_task(source)}{_table(heads, rows)}<h3>Chain</h3>{_table(('part', 'digest'), links)}"


def _task(source: Source) -> str:
    """What is trained, on what it is computed, and what the parties have waived."""
    task = source.agreement.terms.task
    engine = f", engine <b>{escape(task.engine)}</b>" if task.engine is not None else ""
    waived = ", ".join(f"<code>{escape(one)}</code>" for one in task.waivers) or "nothing"
    return f"<p>Protocol <b>{escape(task.protocol)}</b>{engine}. Waived by signature: {waived}.</p>"


def _left(runs: list[History]) -> str:
    """What left the house and what came in, by peer."""
    peers = sorted({peer for run in runs for _, peer, _ in run.traffic})
    totals = {(book, peer): [run.total(book, peer) for run in runs] for book in ("sent", "received") for peer in peers}
    most = max((sum(one.bytes for one in parts) for parts in totals.values()), default=0) or 1
    rows = []
    for (book, peer), parts in totals.items():
        total, kinds = sum(one.bytes for one in parts), sorted(set().union(*(one.kinds for one in parts)))
        bar = f"<div class=bar><i style='width:{7 * total / most:.2f}rem'></i><span>{size(total)}</span></div>"
        way = f"to <b>{escape(peer)}</b>" if book == "sent" else f"from <b>{escape(peer)}</b>"
        rows.append((way, f"{sum(one.count for one in parts):,}", bar, escape(", ".join(kinds))))
    text = (
        "<p class=quiet>Every artifact is sealed to its recipient; the last column says what protects its values from that "
        "recipient, too: <i>public</i> is what is public by necessity, <i>disclosed</i> what the agreement tells the recipient.</p>"
    )
    return "<h2>What left the house and what came in</h2>" + text + _table(("", "artifacts", "bytes", "protection"), rows, {1})


def _run(run: History) -> str:
    parts = [f"<header><h3>Run {escape(run.run)}</h3><span class=quiet>{escape(run.kind)}, {escape(run.state)}</span></header>"]
    parts.append(_table(("when (UTC)", "what", "about", "facts"), _events(run)))
    if run.metrics:
        parts.append(
            "<h3>Metrics on held-out rows</h3>" + _table(run.metrics, [tuple(f"{one:.6g}" for one in run.metrics.values())])
        )
    artifacts = []
    for (book, peer, message), one in sorted(run.traffic.items(), key=lambda item: (item[0][0] != "sent", item[0])):
        way, kinds = "sent to" if book == "sent" else "received from", ", ".join(sorted(one.kinds))
        counts = (f"{one.count:,}", size(one.bytes), f"{one.rows:,}")
        artifacts.append((way, escape(peer), escape(message), *counts, escape(kinds)))
    if artifacts:
        heads = ("", "peer", "message", "artifacts", "bytes", "rows", "protection")
        parts.append("<h3>Artifacts</h3>" + _table(heads, artifacts, {3, 4, 5}))
    paid = shares(run.block) if run.block else []
    if paid:
        measures = [name for name in _MEASURES if any(name in values for _, values, _ in paid)]
        lines = [(escape(party), *_values(values, measures), escape(money)) for party, values, money in paid]
        columns = ["party", *(_MEASURES[name] for name in measures), "paid"]
        parts.append("<h3>Contributions and rewards</h3>" + _table(columns, lines, set(range(1, len(columns)))))
    return f"<section class=run>{''.join(parts)}</section>"


def _events(run: History) -> list[tuple[str, ...]]:
    """The events in the order of recording, a whole training in one line."""
    rounds = run.of_kind("rounds")
    rows: list[tuple[str, ...]] = []
    for event in run.events:
        subject, facts = plainly(event["subject"]), plainly(event["body"])
        if event["kind"] == "rounds":
            if event is not rounds[-1]:
                continue
            body = event["body"]
            subject, facts = "all", f"{body['round']} rounds, last loss {plainly(body.get('loss'))}"
            if "epsilon" in body:
                facts += f", epsilon {body['epsilon']:.4g} at delta {body['delta']:.4g}"
        rows.append((f"<span class=once>{_time(event['at'])}</span>", escape(event["kind"]), escape(subject), escape(facts)))
    return rows


def _chain(found: dict[str, History]) -> str:
    items = []
    for height, sha256, run in chain_of(found):
        block = run.block or {}
        pairs = [pair for pair in block["pairs"] if "root" in pair]
        odd = sum(pair["unmatched"] for pair in pairs)
        disputed = [" and ".join(pair["parties"]) for pair in block["pairs"] if "root" not in pair]
        facts = f"{sum(pair['artifacts'] for pair in pairs):,} artifacts, {size(sum(pair['bytes'] for pair in pairs))}"
        facts += f"; {odd} not booked alike" if odd else "; all booked alike by sender and receiver"
        facts += f"; no common books of {', '.join(disputed)}" if disputed else ""
        items.append(
            f"<li><b>Block {height}</b>, run {escape(run.run)}<br><code>{sha256}</code><br>"
            f"<span class=quiet>{escape(facts)}. Signed by {escape(', '.join(run.signers))}.</span></li>"
        )
    chain = f"<ol class=chain>{''.join(items)}</ol>" if items else "<p class=quiet>No run has been settled.</p>"
    return f"<h2>Block chain</h2>{chain}"


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]], numbers: set[int] | None = None) -> str:
    """Cells are HTML already; columns in ``numbers`` are set to the right."""
    kind = {index: f" class={_NUMBERS}" for index in numbers or ()}
    head = "".join(f"<th{kind.get(index, '')}>{text}</th>" for index, text in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind.get(index, '')}>{cell}</td>" for index, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def counted(counts: dict[str, int]) -> str:
    """``1 segment, 1,200 entries``."""
    return ", ".join(size(number) if what == "bytes" else several(number, what) for what, number in counts.items()) or "nothing"


def several(number: int, what: str) -> str:
    """A number with its noun, which is given in the plural."""
    one = what.removesuffix("ies") + "y" if what.endswith("ies") else what.removesuffix("s")
    return f"{number:,} {one if number == 1 else what}"


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"


def _time(moment: object) -> str:
    return escape(str(moment)[:19].replace("T", " "))


def _values(found: dict[str, float], measures: Iterable[str]) -> list[str]:
    return ["" if name not in found else f"{found[name]:.4f}" for name in measures]
