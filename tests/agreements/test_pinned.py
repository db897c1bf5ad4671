"""Terms that parties have signed keep their digest, whatever comes later."""

from __future__ import annotations

from pathlib import Path

import pytest

from tombolo.agreements.reading import read_model
from tombolo.agreements.terms import Terms

FEDERATIONS = Path(__file__).resolve().parents[2] / "federations"
PINNED = {
    "credit": "3fbb3e0997206150efca91f51ee60bd1a652cc367f1a8d0ef4ca6511a0ec7ab5",
    "credit-network": "13349cea1b5bd287bc32ba69ca6433bebb3fba8b25bf1c919f94853ff77e4490",
    "diagnosis": "a9cbd2e5e3fc8859ecb9b392635b9fa4b14bbeb9685faa69e98af4fafa64cda4",
    "digits": "e47fa671e7ac60524ee5ef28569c5dd304c37942438cc3a23c3da9a6a07ff6bc",
    "hospitals": "125a51bb66f0cbbe58565299f1f98c2c90a65436f135568072531f66d423681d",
    "hospitals-trees": "8804f6863a0eb36c332946a29e9899b04a5ccc2a5fe3a83290f56a4d284edccf",
    "lending": "a4941c6b7d99328004ee1aa82b6c04d193e8d61cf2eed21522eff60b12438e83",
    "marketing": "75a004d5512b86d7beeba6daa7209b1d6a81939979f16e5471af9717d6772ad0",
    "wdbc": "0fd723c7951454e451c3f38d087a3153cc6f0be2a20a9fcfedd954d41bf5edfd",
}


CURRENT = {
    "diagnosis": "5b13236822c0c6d4ab518ec1b153b74cdbe0c395c0074bbb9d6aa067d947137f",
    "wdbc": "9b6551251c557d2207424031b6957e6d58e15e3ec59b6c338df6288b75ecc078",
}
"""Examples that have moved to ``tombolo.terms/2``; what was signed before lies in the folder ``pinned``."""


@pytest.mark.parametrize("name", sorted(path.parent.name for path in FEDERATIONS.glob("*/agreement.yaml")))
def test_example_terms_keep_their_digest(name: str) -> None:
    assert read_model(FEDERATIONS / name / "agreement.yaml", Terms).digest == (CURRENT.get(name) or PINNED[name])


@pytest.mark.parametrize("name", sorted(CURRENT))
def test_earlier_examples_keep_their_digest(name: str) -> None:
    assert read_model(Path(__file__).parent / "pinned" / f"{name}.yaml", Terms).digest == PINNED[name]
