"""The rules that a program can check: layers, heavy imports, file sizes, error codes and pages made from code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dags", "plugins", "operators", "cli", "fl_tasks", "agreements", "storage")
HEAVY = {"jinja2", "pandas", "sklearn", "great_expectations", "phe", "matplotlib", "scipy", "selenium", "dask", "distributed"}
LIGHT_STARTS = {"dags", "plugins", "operators", "cli"}


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imported_at_start(path: Path) -> set[str]:
    """Top-level package names that a module imports when it is itself imported (not inside functions or TYPE_CHECKING)."""
    found: set[str] = set()
    pending = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            pending += node.body + node.orelse
        elif isinstance(node, ast.Try | ast.ClassDef):
            pending += node.body
    return found


def test_imports_run_downward():
    run = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("path", modules("fl_tasks", "agreements", "storage", "cli"), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_operators_know_airflow(path):
    assert "airflow" not in imported_at_start(path)


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_are_imported_late(path):
    assert not imported_at_start(path) & HEAVY
    if path.relative_to(ROOT).parts[0] in LIGHT_STARTS:
        assert not imported_at_start(path) & {"numpy", "pyarrow"}


@pytest.mark.parametrize("path", modules(*PACKAGES, "tests", "benchmarks"), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_one_idea(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "the first line says what the module is for"


def documented(path: Path) -> list[bool]:
    """Of every public class, function and method: whether it has a docstring. Coded errors say theirs in cause and remedy."""
    found, pending = [], list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            pending += node.body
        if not (isinstance(node, ast.ClassDef) and any("Error" in ast.unparse(base) for base in node.bases)):
            found.append(ast.get_docstring(node) is not None)
    return found


@pytest.mark.parametrize("package", ["storage", "agreements", "fl_tasks", "operators", "cli", "plugins"])
def test_what_is_public_is_explained(package):
    found = [one for path in modules(package) for one in documented(path)]
    assert sum(found) >= 0.95 * len(found)


def test_terms_and_forms_are_made_from_light_descriptors():
    """A DAG file is read every minute: it must not import what only tasks need."""
    heavy = "{'numpy', 'pyarrow', 'pandas', 'sklearn', 'xgboost', 'gmpy2'}"
    program = (
        "import sys\nfrom pathlib import Path\nfrom tombolo.agreements.agreement import Agreement\n"
        "for one in sorted(Path('federations').iterdir()):\n    Agreement.load(one, verify=False).terms.parameters()\n"
        f"print(sorted({{name.split('.')[0] for name in sys.modules}} & {heavy}))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_the_error_page_is_what_the_classes_say():
    run = subprocess.run(
        [sys.executable, "-c", "from tombolo.cli.errors import page; print(page(), end='')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert (ROOT / "docs" / "errors.md").read_text() == run.stdout, "run `tombolo errors`"


def test_leakage_tables_are_what_the_protocols_declare():
    from tombolo.cli.leakage import pages, with_table

    for name in pages():
        text = (ROOT / "docs" / name).read_text()
        assert "<!-- leakage -->" in text
        assert with_table(text, name) == text, "run `tombolo leakage`"


def test_the_help_is_quick_to_import():
    heavy = "{'airflow', 'numpy', 'pyarrow', 'pandas', 'cryptography'}"
    program = f"import sys, tombolo.cli.app; print(sorted({{name.split('.')[0] for name in sys.modules}} & {heavy}))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_stages_are_quick_to_import():
    """What a task waits for before it works: none of the heavy packages, nor what only some tables and stores need."""
    names = [path.stem for path in modules("fl_tasks/workflow") if path.stem != "__init__"]
    lines = ["import sys", *(f"import tombolo.fl_tasks.workflow.{name}" for name in names)]
    heavy = HEAVY | {"airflow", "boto3", "jinja2", "sqlalchemy"}
    lines.append(f"print(sorted({{name.split('.')[0] for name in sys.modules}} & {heavy}))")
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr
