"""The tables of the marketing demo: generated users of a shop, a bank and a social network (docs/demo-marketing.md).

The shop offered a hiking weekend to its users and knows who accepted. A user's answer depends on habits (the shop sees them), on
income (the bank sees it) and on interests (the social network sees them), and mostly on several of these together. Each party does
not know some users of the others. Each party has its own row order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tombolo.cli.demo.tables import Tables

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Columns = Mapping[str, Any]

ID, LABEL = "user", "accepted"
USERS, NEW_USERS = 20_000, 2_000
_SEED = 20260217
_CONSTANT = -6.15  # added to the logit, so that about one user in nine accepts


@dataclass(frozen=True)
class Population:
    """All users: their ids, and whether each accepted the offer (0 or 1). Per party, its columns and which users it knows."""

    ids: npt.NDArray[np.str_]
    accepted: npt.NDArray[np.int64]
    columns: Mapping[str, Columns]
    known: Mapping[str, Mask]


def generate(rng: np.random.Generator, users: int) -> Population:
    """Draw ``users`` people, and what each party knows about them."""
    import numpy as np

    people = _people(rng, users)
    accepted = (rng.random(users) < _squash(_CONSTANT + _inclination(people))).astype(np.int64)
    ids = np.array([f"U-{number:07d}" for number in rng.choice(10_000_000, users, replace=False)])
    columns = {
        "shop": {**_shop(people, rng), LABEL: accepted},
        "bank": _bank(people, rng),
        "social-network": _social_network(people, rng),
    }
    known = {
        "shop": rng.random(users) < 0.90,
        "bank": rng.random(users) < np.where(people["age"] < 25, 0.75, 0.88),
        "social-network": rng.random(users) < np.where(people["age"] > 55, 0.70, 0.90),
    }
    return Population(ids, accepted, columns, known)


def write_tables(folder: Path, users: int = USERS, new_users: int = NEW_USERS) -> dict[str, Tables]:
    """Write each party's tables into a folder with its name: ``users`` to train on, and ``new_users`` more to predict for."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(_SEED)
    everybody = generate(rng, users + new_users)
    new = np.zeros(users + new_users, dtype=bool)
    new[rng.choice(len(new), new_users, replace=False)] = True

    def part(party: str, rows: Mask, without: tuple[str, ...] = ()) -> pa.Table:
        """Those of the rows that the party knows, in random order."""
        at = rng.permutation(np.flatnonzero(rows & everybody.known[party]))
        columns = {name: values[at] for name, values in everybody.columns[party].items() if name not in without}
        return pa.table({ID: everybody.ids[at], **{name: _plain(values) for name, values in columns.items()}})

    tables = {}
    for party, write in (("shop", _parquet), ("bank", _csv), ("social-network", _parquet)):
        home = folder / party
        home.mkdir(parents=True, exist_ok=True)
        table, predict_table = write(part(party, ~new), home / "users"), write(part(party, new, (LABEL,)), home / "new_users")
        tables[party] = Tables(table, predict_table)
    outcomes = pa.table({ID: everybody.ids[new], LABEL: everybody.accepted[new]})
    return {**tables, "shop": replace(tables["shop"], labels_table=_parquet(outcomes, folder / "shop" / "outcomes"))}


def _people(rng: np.random.Generator, n: int) -> dict[str, Floats]:
    """The hidden facts about ``n`` people: age in years, monthly income and debts in euros; interests and habits from 0 to 1."""
    import numpy as np

    age = np.clip(18 + rng.gamma(2.6, 10.0, n), 18, 92)
    bent = rng.normal(size=(n, 4))
    usual = 1800 + 60 * np.minimum(age - 18, 30) - 12 * np.maximum(age - 60, 0)
    income = usual * np.exp(rng.normal(-0.08, 0.5, n))
    return {
        "age": age,
        "income": income,
        "debts": income * rng.beta(1.3, 5.0, n),
        "thrift": rng.beta(2.0, 3.0, n),
        "outdoors": _squash(0.9 * bent[:, 0] - 0.02 * (age - 40)),
        "travel": _squash(0.6 * bent[:, 0] + 0.9 * bent[:, 1]),
        "fashion": _squash(1.1 * bent[:, 2] - 0.01 * (age - 40)),
        "online": _squash(1.0 * bent[:, 3] - 0.035 * (age - 40)),
        "loyalty": rng.beta(1.5, 2.5, n),
        "family": (rng.random(n) < _squash(-0.4 + 2.2 * np.exp(-(((age - 39) / 11) ** 2)))).astype(np.float64),
    }


def _inclination(people: Mapping[str, Floats]) -> Floats:
    """The logit (without a constant) of accepting: interest and income together, if the offer reaches the person."""
    import numpy as np

    spare = (people["income"] - people["debts"]) / 2200 - 0.45 * people["family"]
    means, wish = _squash(3.2 * (spare - 1.0)), _squash(9 * (people["outdoors"] * people["travel"] - 0.33))
    reached = np.maximum(people["loyalty"], 0.9 * people["online"])
    return (
        5.0 * wish * means
        + 5.2 * people["loyalty"]
        + 2.0 * wish * reached
        - 1.5 * people["thrift"] * (1 - means)
        + 0.8 * np.exp(-(((people["age"] - 45) / 14) ** 2))
    )


def _shop(people: Mapping[str, Floats], rng: np.random.Generator) -> dict[str, Any]:
    """A year of purchases; amounts in euros."""
    import numpy as np

    n, loyalty, online = len(people["age"]), people["loyalty"], people["online"]
    outdoors, fashion = people["outdoors"], people["fashion"]
    tenure = np.ceil(rng.gamma(1.5 + 3 * loyalty, 9.0)).astype(np.int64)
    orders = rng.negative_binomial(2.4, 2.4 / (2.4 + 0.4 + 11 * loyalty**1.4))
    basket = np.exp(3.2 + 0.35 * np.log(people["income"] / 2500) + rng.normal(0, 0.45, n))
    returned = rng.binomial(orders, 0.06 + 0.30 * fashion) / np.maximum(orders, 1)
    recency = np.where(orders > 0, np.ceil(rng.exponential(330 / (1 + orders))), 365)
    channels = {"app": 1.6 * online, "web": 0.6, "branch": 0.9 * (1 - online)}
    favourites = {"clothing": fashion, "shoes": 0.7 * fashion, "tents": 0.9 * outdoors, "bicycles": 0.5 * outdoors, "gifts": 0.3}
    return {
        "months_registered": np.minimum(tenure, 180),
        "orders": orders,
        "spent": np.round(orders * basket, 2),
        "outdoor_share": np.round(rng.binomial(orders, 0.1 + 0.7 * outdoors**2) / np.maximum(orders, 1), 3),
        "days_since_order": np.minimum(recency, 365).astype(np.int64),
        "returned_share": np.round(returned, 3),
        "visits": rng.poisson(1 + 20 * loyalty * (0.7 + online)),
        "newsletter": (rng.random(n) < 0.15 + 0.5 * loyalty).astype(np.int64),
        "channel": _choice(channels, rng),
        "favourite": _choice(favourites, rng),
    }


def _bank(people: Mapping[str, Floats], rng: np.random.Generator) -> dict[str, Any]:
    """Accounts, in euros. Income paid to another bank, savings at another bank and unknown occupations are missing."""
    import numpy as np

    n, income, age = len(people["age"]), people["income"], people["age"]
    savings = income * people["thrift"] * np.exp(rng.normal(0.9, 1.0, n)) * (age - 12) / 20
    work = {"employed": 0.9, "self-employed": 0.14 + income / 4e4, "official": 0.16, "student": 2.0 * (age < 27)}
    occupation = _choice({**work, "retired": 6.0 * (age > 64), "none": 0.4 * (income < 1300)}, rng)
    housing = _choice({"rent": 0.5, "own": age / 90 * income / 2800, "parents": 1.2 * (age < 26)}, rng)
    elsewhere = rng.random(n) < np.where(occupation == "self-employed", 0.22, 0.06)
    return {
        "age": np.floor(age).astype(np.int64),
        "income": _lacking(np.round(income * np.exp(rng.normal(0, 0.08, n)), -1), elsewhere),
        "balance": np.round(income * rng.normal(0.5 + 0.8 * people["thrift"], 0.5, n), 2),
        "savings": _lacking(np.round(savings, 2), rng.random(n) < 0.11),
        "instalments": np.round(np.where(people["debts"] > 0.03 * income, people["debts"], 0.0), 2),
        "card_spending": np.round(income * (1 - people["thrift"]) * 0.5 * np.exp(rng.normal(0, 0.35, n)), 2),
        "overdrafts": rng.poisson(2.2 * (1 - people["thrift"]) * people["debts"] / income * 2),
        "children_benefit": (rng.random(n) < np.where(people["family"] > 0, 0.9, 0.01)).astype(np.int64),
        "occupation": _lacking(occupation, rng.random(n) < 0.05),
        "housing": housing,
    }


def _social_network(people: Mapping[str, Floats], rng: np.random.Generator) -> dict[str, Any]:
    """Activity per week, and interests from 0 to 100 as the network guesses them. Interests of inactive users are often missing."""
    import numpy as np

    n, online = len(people["age"]), people["online"]
    hours = rng.gamma(1.3, 0.6 + 7 * online)
    devices = {"android": 0.55, "ios": people["income"] / 8000, "desktop": 0.6 * (1 - online)}
    quiet = rng.random(n) < np.where(hours < 1.0, 0.35, 0.04)

    def interest(name: str) -> Floats:
        return _lacking(np.round(100 * np.clip(people[name] + rng.normal(0, 0.07, n), 0, 1)), quiet)

    return {
        "hours": np.round(hours, 1),
        "contacts": np.ceil(np.exp(rng.normal(3.6 + 1.6 * online, 0.8, n))).astype(np.int64),
        "posts": rng.poisson(0.3 * hours),
        "outdoors": interest("outdoors"),
        "travel": interest("travel"),
        "fashion": interest("fashion"),
        "groups": rng.poisson(1 + 4 * people["outdoors"] * online),
        "advertisements_opened": rng.poisson(0.25 * hours * (0.4 + people["travel"])),
        "device": _lacking(_choice(devices, rng), rng.random(n) < 0.03),
    }


def _squash(x: Floats) -> Floats:
    import numpy as np

    return 1 / (1 + np.exp(-x))


def _choice(odds: Mapping[str, Any], rng: np.random.Generator) -> npt.NDArray[np.object_]:
    """Draw a name per person. ``odds`` has a weight for each name: one number for all people, or one per person."""
    import numpy as np

    weights = np.stack(np.broadcast_arrays(*odds.values()))
    bounds = np.cumsum(weights / weights.sum(axis=0), axis=0)
    drawn = (rng.random(weights.shape[1]) > bounds).sum(axis=0)
    return np.asarray(np.array(list(odds), dtype=object)[np.minimum(drawn, len(odds) - 1)])


def _lacking(values: npt.NDArray[Any], missing: Mask) -> npt.NDArray[Any]:
    """The values, with some replaced by a missing value: NaN for numbers, None for texts."""
    import numpy as np

    nothing: Any = None if values.dtype == object else np.nan
    return np.where(missing, nothing, values)


def _plain(values: npt.NDArray[Any]) -> Any:
    """An Arrow column, in which missing values are null."""
    import pyarrow as pa

    return pa.array(values, from_pandas=True)


def _parquet(table: Any, file: Path) -> Path:
    import pyarrow.parquet as pq

    path = file.with_suffix(".parquet")
    pq.write_table(table, path)
    return path


def _csv(table: Any, file: Path) -> Path:
    import pyarrow.csv

    path = file.with_suffix(".csv")
    pyarrow.csv.write_csv(table, path)
    return path
