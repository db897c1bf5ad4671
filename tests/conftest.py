"""Switches of the test run: short Paillier keys are allowed here and nowhere else."""

from __future__ import annotations

import os

os.environ["TOMBOLO_TEST_KEYS"] = "1"
