"""A party's table, ready for alignment: read, digested, canonical ids, consent applied, one row per id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pyarrow as pa

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.tables.consent import withheld
from tombolo.fl_tasks.tables.ids import as_text, canonical_ids, unique
from tombolo.fl_tasks.tables.source import read_table
from tombolo.fl_tasks.workflow.aligned import ID, id_columns


@dataclass(frozen=True)
class Prepared:
    """``table`` with one row per id and an ``__id`` column in the source's spelling; canonical ``ids``; digest of the source."""

    table: pa.Table
    ids: list[str]
    source_rows: int
    withheld: int
    sha256: str


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
    """A table as its source has it, with ids and consent; raises coded errors without values in them."""
    terms, columns = context.terms.alignment, id_columns(context)
    ids = canonical_ids(source, terms, columns)
    table = source.append_column(ID, _spelled(source, columns))
    path = context.agreement_settings.consent
    out = withheld(context.party_settings.path(path) if path else None, terms)
    if out:
        kept = [at for at, one in enumerate(ids) if one not in out]
        table, ids = table.take(pa.array(kept, pa.int64())), [ids[at] for at in kept]
    left_out = source.num_rows - table.num_rows
    table, ids = unique(table, ids, terms)
    return Prepared(table, ids, source.num_rows, left_out, digest(source))


def digest(table: pa.Table) -> str:
    """SHA-256 over the table's schema and values, whatever its chunks."""
    hashed = hashlib.sha256(table.schema.serialize().to_pybytes())
    for batch in table.combine_chunks().to_batches(max_chunksize=65_536):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays([pa.concat_arrays([one]) for one in batch.columns], schema=batch.schema))
        hashed.update(sink.getvalue())
    return hashed.hexdigest()


def _spelled(source: pa.Table, columns: list[str]) -> pa.ChunkedArray:
    """Each row's id as the source spells it; composite ones joined by commas."""
    texts = [as_text(source.column(name), name) for name in columns]
    if len(texts) == 1:
        return texts[0]
    rows = zip(*(column.to_pylist() for column in texts), strict=True)
    return pa.chunked_array([pa.array([",".join(row) for row in rows], pa.string())])
