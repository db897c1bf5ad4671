"""Tables from a query over an Airflow SQL connection."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tombolo.agreements.settings import Asked, TableSettings
from tombolo.fl_tasks.tables.source import Unreadable, check_names

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 100_000


class Sql:
    """A source that queries a database. The run's parameters become the bound parameters of the query."""

    def check(self, settings: TableSettings) -> None:
        if not (settings.connection and settings.query) or settings.path or settings.options:
            raise ValueError("source: sql takes connection and query")

    def read(self, settings: TableSettings, asked: Asked) -> pa.Table:
        import pyarrow as pa
        import sqlalchemy

        try:
            engine = sqlalchemy.create_engine(_address(str(settings.connection)))
            with engine.connect() as connection:
                statement = sqlalchemy.text(str(settings.query))
                wanted = {name: asked.parameters[name] for name in statement.compile().params if name in asked.parameters}
                result = connection.execution_options(stream_results=True).execute(statement, wanted)
                names = list(result.keys())
                check_names(names, f"Connection {settings.connection}")
                batches = [pa.Table.from_batches([batch]) for batch in _batches(result, names)]
            return pa.concat_tables(batches, promote_options="permissive") if batches else pa.table({name: [] for name in names})
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, pa.ArrowException) as error:
            raise Unreadable(f"Connection {settings.connection}: {type(error).__name__}.") from None


SQL = Sql()


def _batches(result: Any, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    while rows := result.fetchmany(_BATCH):
        yield pa.RecordBatch.from_pydict({name: [row[at] for row in rows] for at, name in enumerate(names)})


def _address(connection: str) -> Any:
    """The SQLAlchemy address of a connection: from the variable AIRFLOW_CONN_<NAME> if it holds one, else from Airflow."""
    import sqlalchemy

    plain = os.environ.get(f"AIRFLOW_CONN_{connection.upper()}", "")
    if "://" in plain:
        address = sqlalchemy.make_url(plain)
    else:
        try:
            from airflow.sdk import BaseHook

            known = BaseHook.get_connection(connection)
        except Exception as error:  # no Airflow here, or it does not know the connection
            raise Unreadable(f"Connection {connection}: {type(error).__name__}.") from None
        address = sqlalchemy.URL.create(known.conn_type, known.login, known.password, known.host, known.port, known.schema or None)
    kinds = {"postgres": "postgresql+psycopg2", "postgresql": "postgresql+psycopg2"}
    return address.set(drivername=kinds.get(address.drivername, address.drivername))
