"""``python -m tombolo.cli.demo [NAME] [--keep]`` runs a demo without loading the other commands."""

import typer

from tombolo.cli.demo import demo

typer.run(demo)
