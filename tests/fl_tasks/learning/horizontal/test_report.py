"""The page about all clients' training rows: small counts are not shown, and names of columns stay texts."""

from __future__ import annotations

import numpy as np

from tests.fl_tasks.learning.horizontal.hospitals import hospitals
from tombolo.fl_tasks.learning.horizontal.columns import Statistics
from tombolo.fl_tasks.learning.horizontal.quantiles import Quartile
from tombolo.fl_tasks.learning.horizontal.report import page

FEW = Statistics(300.0, np.array([297.0, 4.0, 300, 300]), np.array([50.0, 1e-3, 0.01, 0.99]), np.array([9.0, 1e-5, 0.1, 0.1]))


def test_small_counts_are_not_shown(tmp_path):
    text = page(hospitals(tmp_path).context("centre").terms, FEW, {}, 4)
    for shown in ("more than 290", "fewer than 10"):
        assert shown in text
    for hidden in ("297", "99.0%", "1.0%", "0.001"):
        assert hidden not in text


def test_names_and_levels_are_texts(tmp_path):
    features = {"<b>age</b>": {"missing": "mean"}, "dose": {}, "ward": {"levels": ["<script>a</script>", "b"]}}
    terms = hospitals(tmp_path, horizontal={"features": features}).context("centre").terms
    text = page(terms, FEW, {}, 4)
    assert "<td>&lt;b&gt;age&lt;/b&gt;</td>" in text and "<td>&lt;script&gt;a&lt;/script&gt;</td>" in text
    assert "<b>" not in text and "<script>" not in text


def test_what_is_not_known_of_quartiles_is_said(tmp_path):
    quartiles = {"age": [Quartile(40.0, 0.5), Quartile(50.0, 0.5), Quartile(60.0, None)]}
    text = page(hospitals(tmp_path).context("centre").terms, FEW, quartiles, 4)
    assert "<td>40 ± 0.5</td><td>50 ± 0.5</td><td>60 or beyond</td>" in text
