"""The template engine: texts are escaped in every kind of file, what is not defined is an error, and it is imported late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from tombolo.fl_tasks.pages.rendering import environment, render

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("suffix", ["html", "svg", "css"])
def test_texts_are_escaped_and_pictures_are_not(tmp_path, suffix):
    (tmp_path / f"page.{suffix}").write_text("{{ text }}{{ picture }}")
    picture = render("bar.svg", start=0, width=50, zero=0)
    made = environment(tmp_path).get_template(f"page.{suffix}").render(text="<b>\"'&", picture=picture)
    assert made.startswith("&lt;b&gt;&#34;&#39;&amp;<svg ") and made.count("<rect") == 2


def test_what_is_not_defined_is_an_error(tmp_path):
    (tmp_path / "page.html").write_text("{{ known.other }}")
    with pytest.raises(UndefinedError):
        environment(tmp_path).get_template("page.html").render(known={})
    with pytest.raises(UndefinedError):
        render("bar.svg", start=0, width=50)


def test_the_engine_is_imported_late():
    program = "import sys, tombolo.fl_tasks.pages.charts; print({'jinja2', 'markupsafe'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "set()", run.stdout + run.stderr
