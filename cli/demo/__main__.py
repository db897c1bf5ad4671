"""``python -m tombolo.cli.demo [NAME] [--keep]``: a demo without the rest of the command line."""

import typer

from tombolo.cli.demo import demo

typer.run(demo)
