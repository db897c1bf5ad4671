"""Keys for the tests of the cryptographic kernels: small ones by the switch that production refuses."""

import os

import pytest

os.environ["TOMBOLO_TEST_KEYS"] = "1"


@pytest.fixture(scope="session")
def private():
    from tombolo.fl_tasks.crypto.paillier import generate

    return generate(1024)


@pytest.fixture(scope="session")
def public(private):
    return private.public


@pytest.fixture(scope="session")
def other():
    from tombolo.fl_tasks.crypto.paillier import generate

    return generate(1024)
