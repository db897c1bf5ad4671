"""``python -m cli.demo [NAME] [--keep]``: a demo without the rest of the command line."""

import typer

from cli.demo import demo

typer.run(demo)
