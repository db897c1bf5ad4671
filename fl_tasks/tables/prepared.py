"""A party's table, ready for alignment: read, digested, canonical ids, consent applied, one row per id; pinned once it is valid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.tables.columns import ID, id_columns
from tombolo.fl_tasks.tables.consent import withheld
from tombolo.fl_tasks.tables.ids import as_text, canonical_ids, unique
from tombolo.fl_tasks.tables.pinned import chunks, pin, unpin
from tombolo.fl_tasks.tables.source import read_table
from tombolo.fl_tasks.tables.state import PREPARED, VALIDATED
from tombolo.storage.errors import CodedError

_CANONICAL = "__canonical"


class SourceChanged(CodedError):
    code = "TMB-ALIGN-010"
    cause = "The table is not the one that was validated in this run."
    remedy = "Start a new run, which validates the table as it is now."


@dataclass(frozen=True)
class Prepared:
    """``table`` with one row per id and an ``__id`` column in the source's spelling; canonical ``ids``; digest of the source."""

    table: pa.Table
    ids: list[str]
    source_rows: int
    withheld: int
    sha256: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the party writes down about the table."""
        return {"sha256": self.sha256, "rows": self.source_rows, "withheld": self.withheld}


def _place(context: PartyContext, prepared: Prepared) -> str:
    """The name under which a table is pinned. Other rows of the same source have another name.

    The hash has a key, because the operator of the store sees names and could otherwise try tables until a hash fits.
    """
    key = context.keys.vault.derive("prepared")
    return hashlib.blake2b("\n".join([prepared.sha256, *prepared.ids]).encode(), key=key, digest_size=32).hexdigest()


def read_source(context: PartyContext, run: str) -> pa.Table:
    """The table of this run's kind, as its source has it now."""
    manifest = context.manifest(run)
    settings = (
        context.agreement_settings.predict_table if manifest.invitation.kind == "predict" else context.agreement_settings.table
    )
    parameters = {"as_of": manifest.invitation.as_of, "run": run}
    return read_table(settings, context.party_settings.folder, parameters, id_columns(context), context.party_settings.plugins)


def prepare(context: PartyContext, run: str) -> Prepared:
    """Read and prepare this party's table of a run; raises coded errors without values in them."""
    return prepared(context, read_source(context, run))


def prepared(context: PartyContext, source: pa.Table) -> Prepared:
    """Prepare a table that was read from its source: ids, consent, duplicates. Raises coded errors without values in them."""
    terms, columns = context.terms.alignment, id_columns(context)
    ids = canonical_ids(source, terms, columns)
    table = source.append_column(ID, _spelled(source, columns))
    path = context.agreement_settings.consent
    out = withheld(context.party_settings.path(path) if path else None, terms)
    if out:
        kept = [row for row, canonical in enumerate(ids) if canonical not in out]
        table, ids = table.take(pa.array(kept, pa.int64())), [ids[row] for row in kept]
    left_out = source.num_rows - table.num_rows
    table, ids = unique(table, ids, terms)
    return Prepared(table, ids, source.num_rows, left_out, digest(source))


def check_unchanged(context: PartyContext, run: str, prepared: Prepared) -> None:
    """Raise :class:`SourceChanged` if the run has validated another table, or other rows of it."""
    validated = context.state(run).get(VALIDATED)
    if validated is not None and validated != {**prepared.facts, "pinned": _place(context, prepared)}:
        raise SourceChanged(party=context.me)


def pin_validated(context: PartyContext, run: str, prepared: Prepared) -> None:
    """Keep the validated table for the stage that uses its rows. Only the first table of a run is kept."""
    state, name = context.state(run), _place(context, prepared)
    if VALIDATED not in state:
        pin(state, PREPARED.of(name), prepared.table.append_column(_CANONICAL, pa.array(prepared.ids, pa.string())))
        state.keep(VALIDATED, {**prepared.facts, "pinned": name})


def pinned(context: PartyContext, run: str) -> Prepared:
    """The validated table. Raises :class:`SourceChanged` if there is none."""
    state = context.state(run)
    facts = state.get(VALIDATED)
    kept = [] if facts is None else list(chunks(state, PREPARED.of(facts["pinned"])))
    if facts is None or not kept:
        raise SourceChanged(party=context.me)
    table = pa.concat_tables(kept)
    ids = [str(canonical) for canonical in table.column(_CANONICAL).to_pylist()]
    return Prepared(table.drop_columns([_CANONICAL]), ids, facts["rows"], facts["withheld"], facts["sha256"])


def unpin_validated(context: PartyContext, run: str) -> None:
    """Delete the validated table, which nothing needs any more."""
    unpin(context.state(run), PREPARED)


def digest(table: pa.Table) -> str:
    """SHA-256 over the schema and the values of a table. It does not depend on the chunks."""
    hashed = hashlib.sha256(table.schema.serialize().to_pybytes())
    for batch in table.combine_chunks().to_batches(max_chunksize=65_536):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(
                pa.RecordBatch.from_arrays([pa.concat_arrays([column]) for column in batch.columns], schema=batch.schema)
            )
        hashed.update(sink.getvalue())
    return hashed.hexdigest()


def _spelled(source: pa.Table, columns: list[str]) -> pa.ChunkedArray:
    """Each row's id as the source spells it; composite ones joined by commas."""
    texts = [as_text(source.column(name), name) for name in columns]
    if len(texts) == 1:
        return texts[0]
    rows = zip(*(column.to_pylist() for column in texts), strict=True)
    return pa.chunked_array([pa.array([",".join(row) for row in rows], pa.string())])
