"""Sources: Parquet, CSV and SQL; ids stay text; failures name the place and never a value."""

from __future__ import annotations

import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tombolo.agreements.settings import TableSettings
from tombolo.fl_tasks.tables.source import NoTable, Unreadable, read_table


def settings(**fields) -> TableSettings:
    return TableSettings.model_validate(fields)


def test_parquet_and_csv_give_the_same_table(tmp_path):
    table = pa.table({"id": ["007", "010"], "x": [1.5, 2.5], "n": [1, 2]})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("id,x,n\n007,1.5,1\n010,2.5,2\n")
    for source, path in (("parquet", "t.parquet"), ("csv", "t.csv")):
        assert read_table(settings(source=source, path=path), tmp_path, {}, ["id"]).to_pydict() == table.to_pydict()


def test_an_empty_field_of_an_id_is_missing(tmp_path):
    (tmp_path / "t.csv").write_text("id,x\na,1\n,2\n")
    assert read_table(settings(source="csv", path="t.csv"), tmp_path, {}, ["id"]).column("id").null_count == 1


def test_sql_takes_the_as_of_date_as_a_bound_value(tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "db.sqlite") as database:
        database.execute("create table t (id text, x real, day text)")
        database.executemany("insert into t values (?, ?, ?)", [("001", 1.0, "2026-01-01"), ("002", 2.0, "2026-02-01")])
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{tmp_path}/db.sqlite")
    asked = settings(source="sql", connection="warehouse", query="select id, x from t where day <= :as_of")
    table = read_table(asked, tmp_path, {"as_of": "2026-01-15", "run": "r"}, ["id"])
    assert table.to_pydict() == {"id": ["001"], "x": [1.0]}
    nobody = read_table(asked, tmp_path, {"as_of": "x' or '1'='1"}, ["id"])
    assert nobody.num_rows == 2  # compared as text, not run as SQL
    joined = settings(source="sql", connection="warehouse", query="select a.id, b.id from t a join t b on a.id = b.id")
    with pytest.raises(Unreadable, match="warehouse: there is more than one column id"):
        read_table(joined, tmp_path, {}, ["id"])
    with pytest.raises(Unreadable) as caught:
        read_table(settings(source="sql", connection="warehouse", query="select secret from nowhere"), tmp_path, {}, ["id"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id;x\nsecret;2,5\n", "Expected 1 columns, got 2"),
        (b"", "Empty CSV file"),
        ("id,x\nM\xfcller secret,1\n".encode("latin-1"), "invalid UTF8"),
        (b"id,x,x\nsecret,1,2\n", "more than one column x"),
    ],
)
def test_a_mistake_in_a_file_is_explained_without_quoting_it(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(Unreadable, match=said) as caught:
        read_table(settings(source="csv", path="t.csv"), tmp_path, {}, ["id"])
    assert "secret" not in str(caught.value)


def test_what_cannot_be_read_is_coded(tmp_path):
    (tmp_path / "t.parquet").write_text("not parquet, but secret")
    for asked in (settings(source="parquet", path="t.parquet"), settings(source="csv", path="none.csv")):
        with pytest.raises(Unreadable) as caught:
            read_table(asked, tmp_path, {}, ["id"])
        assert "secret" not in str(caught.value)
    with pytest.raises(NoTable):
        read_table(None, tmp_path, {}, ["id"])
