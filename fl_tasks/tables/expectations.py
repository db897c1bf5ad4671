"""Runs a Great Expectations suite on a table, and writes Data Docs for the party's own people."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Failed:
    """A failed expectation: its type, its column if it has one, and how many rows do not meet it (0 where rows do not apply)."""

    type: str
    column: str | None
    rows: int


@dataclass(frozen=True)
class Outcome:
    """How many expectations were checked, which failed, and where the page about it is."""

    count: int
    failed: tuple[Failed, ...]
    page: Path


def run_suite(path: Path, table: pa.Table, site: Path) -> Outcome | None:
    """Check ``table`` against the JSON suite at ``path``; build Data Docs in ``site``. None if the suite cannot be used.

    The results hold counts only. The page may show sample values; it stays in the party's private area.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    _import_late("scipy.stats")
    import great_expectations as gx

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)  # it sets itself to INFO
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        listed = [gx.expectations.core.__dict__[_class(asked["type"])](**asked["kwargs"]) for asked in document["expectations"]]
        suite = gx.ExpectationSuite(name=document["name"], expectations=listed)
    except Exception:  # a hand-written suite can hold anything; the caller's error names the file
        return None
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    docs = {
        "class_name": "SiteBuilder",
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site(site_name="private", site_config=docs)
    suite = context.suites.add(suite)
    batch = context.data_sources.add_pandas("party").add_dataframe_asset("table").add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="validation", data=batch, suite=suite))
    action = gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["private"])
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name="checkpoint",
            validation_definitions=[definition],
            actions=[action],
            result_format={"result_format": "SUMMARY"},
        )
    )
    result = checkpoint.run(batch_parameters={"dataframe": table.to_pandas()})
    outcomes = [outcome for validation in result.run_results.values() for outcome in validation.results]
    if any(_raised(outcome.exception_info) for outcome in outcomes):
        return None
    failed = tuple(_failed(outcome) for outcome in outcomes if not outcome.success)
    return Outcome(len(outcomes), failed, site / "index.html")


def _import_late(name: str) -> None:
    """Let a submodule load only when it is first used. Great Expectations needs this one for a few expectations only, and it takes
    a third of the time of all imports."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None and spec.loader is not None:
        spec.loader, (parent, _, last) = importlib.util.LazyLoader(spec.loader), name.rpartition(".")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        setattr(sys.modules[parent], last, module)


def _failed(result: Any) -> Failed:
    config = result.expectation_config
    count = (result.result or {}).get("unexpected_count") or 0
    return Failed(config.type, config.kwargs.get("column"), int(count))


def _raised(info: Any) -> bool:
    """Whether an expectation could not be evaluated; ``info`` says so once, or for each metric."""
    return isinstance(info, dict) and (bool(info.get("raised_exception")) or any(_raised(metric) for metric in info.values()))


def _class(name: str) -> str:
    """``expect_column_to_exist`` is the class ``ExpectColumnToExist``."""
    return "".join("KL" if part == "kl" else part.capitalize() for part in name.split("_"))
