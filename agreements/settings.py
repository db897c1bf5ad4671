"""Party settings: one party's own settings, in a file that never leaves the party."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator, model_validator

from tombolo.agreements.reading import BadDocument, read_model
from tombolo.agreements.tables import Strict
from tombolo.agreements.terms import Name
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import BadKeyMaterial, PartyKeys
from tombolo.storage.meters import METERS
from tombolo.storage.plugins import find

if TYPE_CHECKING:
    import pyarrow as pa

    from tombolo.storage.stores.base import Store

VARIABLE = "TOMBOLO_PARTY"
TABLES = "tombolo.tables"


class NoSettings(CodedError):
    code = "TMB-SETTINGS-001"
    cause = "No party settings file is given, so Tombolo does not know which party this is."
    remedy = f"Set the environment variable {VARIABLE} to the path of the party settings file, or pass --settings."


class TableSettings(Strict):
    """Where a table comes from: the name of a :class:`TableSource`, and the settings of that source.

    ``connection`` is an Airflow SQL connection, and ``query`` a query with the parameter :as_of; ``options`` are for sources of
    plug-ins.
    """

    source: str
    path: str | None = None
    connection: str | None = None
    query: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a source gets to read a table: the folder in which relative paths start, the id columns, which must be text, and the
    run's parameters (``as_of``, ``run``), for sources that can use them."""

    folder: Path
    ids: Sequence[str]
    parameters: Mapping[str, Any]


class TableSource(Protocol):
    """A table source: an entry point of the group ``tombolo.tables``. It must import heavy modules only when it reads."""

    def check(self, settings: TableSettings) -> None:
        """Raise ValueError, as ``field: what is wrong``, if the settings do not fit."""

    def read(self, settings: TableSettings, asked: Asked) -> pa.Table:
        """Read the whole table. Raises coded errors; their texts name the place and never a value."""


class AgreementSettings(Strict):
    """The tables and lists of this party for one agreement. Paths are relative to the folder of the settings file."""

    table: TableSettings | None = None
    predict_table: TableSettings | None = None
    labels_table: TableSettings | None = None
    consent: str | None = None
    suite: str | None = None
    split: str | None = None
    population: str | None = Field(default=None, min_length=1, max_length=200, description="who is in the table, for the odometer")
    rename: dict[str, str] = Field(default={}, description="agreed id column: the column's name in this party's tables")


class PartySettings(Strict):
    """The whole settings file."""

    party: Name
    keys: str
    store: str
    peers: dict[Name, str] = Field(default_factory=dict)
    federations: Path
    workers: int | None = Field(None, ge=1)
    executor: str | None = None
    inline_seconds: float = Field(10, ge=0)
    plugins: list[str] = Field(default=[], description="distributions whose plug-ins this party trusts, in addition to Tombolo")
    odometer: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="meter: the most that one recipient may get about one population"
    )
    agreements: dict[Name, AgreementSettings] = Field(default_factory=dict)

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @field_validator("executor")
    @classmethod
    def _own_cluster(cls, address: str | None) -> str | None:
        if address is None:
            return None
        scheme, host = urlsplit(address).scheme, urlsplit(address).hostname
        if not re.fullmatch(r"(dask|tls)://(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}", address, re.ASCII | re.IGNORECASE):
            raise ValueError("executor must be dask://host:port or tls://host:port")
        if scheme == "dask" and not _this_machine(host or ""):
            raise ValueError("dask:// is not encrypted, so it is for this machine only; for another machine use tls://host:port")
        return address

    @field_validator("odometer")
    @classmethod
    def _meters_exist(cls, limits: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(limits) - set(METERS))
        if unknown:
            raise ValueError(f"odometer: there is no meter {unknown[0]}; the meters are {', '.join(METERS)}")
        return limits

    @model_validator(mode="after")
    def _sources_fit(self) -> Self:
        for agreement, own in self.agreements.items():
            for field in ("table", "predict_table", "labels_table"):
                table: TableSettings | None = getattr(own, field)
                wrong = table and _misfit(table, self.plugins)
                if wrong:
                    raise ValueError(f"agreements.{agreement}.{field}.{wrong}")
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> PartySettings:
        """Read the file at ``path``, or the file that TOMBOLO_PARTY names. Raises :class:`NoSettings` if both are missing."""
        named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
        if named is None:
            raise NoSettings()
        read = read_model(named, cls)
        folder = named.resolve().parent
        settings = read.model_copy(update={"federations": (folder / read.federations).resolve()})
        settings._folder = folder
        return settings

    @property
    def folder(self) -> Path:
        """The folder of the settings file; relative paths start here."""
        return self._folder

    def path(self, relative: str) -> Path:
        """A path from the settings file; a relative path starts in the folder of that file."""
        return self._folder / relative

    def open_store(self, address: str) -> Store:
        """Open a store, without a request to it. Raises the errors of :func:`tombolo.storage.stores.opening.open_store`."""
        from tombolo.storage.stores.opening import open_store

        return open_store(address, self._folder, self.plugins)

    def for_agreement(self, name: str) -> AgreementSettings:
        """The settings for one agreement, or the defaults."""
        return self.agreements.get(name, AgreementSettings())

    def load_keys(self) -> PartyKeys:
        """The party's keys from ``file:PATH`` or, in Airflow's secrets backend, ``airflow://CONNECTION`` (password field)."""
        kind, _, place = self.keys.partition(":")
        if kind == "file":
            keys = PartyKeys.load(self.path(place.removeprefix("//")))
        elif kind == "airflow":
            keys = PartyKeys.from_json(_airflow_secret(place.removeprefix("//")))
        else:
            raise BadDocument("keys must be file:PATH or airflow://CONNECTION.")
        if keys.party != self.party:
            raise BadKeyMaterial(f"The keys belong to {keys.party}.", party=self.party)
        return keys


def _misfit(table: TableSettings, plugins: Sequence[str]) -> str | None:
    """What a source says is wrong with its settings. If the source itself fails, the error appears when the table is read, so that
    everything else works."""
    try:
        find(TABLES, table.source, plugins).offered.check(table)
    except ValueError as error:
        return str(error)
    except Exception:
        return None
    return None


def _this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _airflow_secret(connection: str) -> str:
    from airflow.sdk import BaseHook

    secret: Any = BaseHook.get_connection(connection)
    return secret.password or ""
