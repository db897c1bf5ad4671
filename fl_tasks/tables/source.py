"""Reading a party's table: Parquet, CSV, or a query over an Airflow SQL connection; ids are always read as text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tombolo.agreements.settings import TableSettings
from tombolo.storage.errors import CodedError

_BATCH = 100_000


class NoTable(CodedError):
    code = "TMB-TABLE-010"
    cause = "The party settings name no table for this step."
    remedy = "Add table (for training), predict_table or labels_table under this agreement in the party settings."


class Unreadable(CodedError):
    code = "TMB-TABLE-011"
    cause = "A table cannot be read."
    remedy = "Check the path, the format, or the connection and the query in the party settings."


def read_table(settings: TableSettings | None, base: Path, parameters: Mapping[str, Any], ids: Sequence[str]) -> pa.Table:
    """The whole table; columns named in ``ids`` are text in CSV. ``parameters`` (as_of, ...) go to an SQL query as bound values.

    Raises :class:`NoTable` or :class:`Unreadable`, whose text names the place and never a value.
    """
    if settings is None:
        raise NoTable()
    if settings.source == "sql":
        return _query(settings, parameters)
    table = _file(settings, base, ids)
    _check_names(table.column_names, str(settings.path))
    return table


def _check_names(names: Sequence[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Unreadable(f"{where}: there is more than one column {', '.join(twice)}.")


def _file(settings: TableSettings, base: Path, ids: Sequence[str]) -> pa.Table:
    path = base / str(settings.path)
    try:
        if settings.source == "parquet":
            import pyarrow.parquet as pq

            return pq.read_table(path)
        import pyarrow.csv as csv

        options = csv.ConvertOptions(column_types=dict.fromkeys(ids, pa.string()), strings_can_be_null=True)
        return csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowException) as error:
        raise Unreadable(f"{path} as {settings.source}: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    """What kind of failure it is; of the library's own text, which may quote the file, only what cannot."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    safe = re.search(r"(Row #\d+: )?Expected \d+ columns, got \d+|Empty CSV file|invalid UTF8", str(error))
    return f"{safe.group()} (comma-separated UTF-8 text is needed)" if safe else type(error).__name__


def _query(settings: TableSettings, parameters: Mapping[str, Any]) -> pa.Table:
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(_address(str(settings.connection)))
        with engine.connect() as connection:
            statement = sqlalchemy.text(str(settings.query))
            wanted = {name: parameters[name] for name in statement.compile().params if name in parameters}
            result = connection.execution_options(stream_results=True).execute(statement, wanted)
            names = list(result.keys())
            _check_names(names, f"Connection {settings.connection}")
            batches = [pa.Table.from_batches([batch]) for batch in _batches(result, names)]
        return pa.concat_tables(batches, promote_options="permissive") if batches else pa.table({name: [] for name in names})
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, pa.ArrowException) as error:
        raise Unreadable(f"Connection {settings.connection}: {type(error).__name__}.") from None


def _batches(result: Any, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    while rows := result.fetchmany(_BATCH):
        yield pa.RecordBatch.from_pydict({name: [row[at] for row in rows] for at, name in enumerate(names)})


def _address(connection: str) -> Any:
    """The SQLAlchemy address of an Airflow connection; outside Airflow, of the environment variable AIRFLOW_CONN_<NAME>."""
    import sqlalchemy

    plain = os.environ.get(f"AIRFLOW_CONN_{connection.upper()}", "")
    if "://" in plain:
        address = sqlalchemy.make_url(plain)
    else:
        try:
            from airflow.sdk import BaseHook

            found = BaseHook.get_connection(connection)
        except Exception as error:  # no Airflow here, or it does not know the connection
            raise Unreadable(f"Connection {connection}: {type(error).__name__}.") from None
        address = sqlalchemy.URL.create(found.conn_type, found.login, found.password, found.host, found.port, found.schema or None)
    kinds = {"postgres": "postgresql+psycopg2", "postgresql": "postgresql+psycopg2"}
    return address.set(drivername=kinds.get(address.drivername, address.drivername))
