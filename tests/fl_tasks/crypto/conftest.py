"""Keys for the tests of the cryptographic kernels: shorter than production accepts."""

import pytest

from tests.federation import TEST_BITS
from tombolo.fl_tasks.crypto.paillier import generate


@pytest.fixture(scope="session")
def private():
    return generate(TEST_BITS, shortest=TEST_BITS)


@pytest.fixture(scope="session")
def public(private):
    return private.public


@pytest.fixture(scope="session")
def other():
    return generate(TEST_BITS, shortest=TEST_BITS)
