"""Numbers in factors: the same products as modulo n^2."""

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.errors import InvalidCiphertext
from tombolo.fl_tasks.crypto.factors import factor, inverses, join


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(1, 2**2100), max_size=4))
def test_products_are_those_modulo_n_squared(public, numbers):
    n, modulus = public.n, public.nsquare
    values = [value if gmpy2.gcd(value, n) == 1 else mpz(1) for value in (number % modulus for number in map(mpz, numbers))]
    us, vs = factor(public, values)
    assert all(0 <= one < n for one in us + vs)
    assert [join(public, u, v) for u, v in zip(us, vs, strict=True)] == values
    u, product = mpz(1), mpz(1)
    for one, value in zip(us, values, strict=True):
        u, product = u * one % modulus, product * value % modulus
    assert join(public, u, sum(vs)) == product


def test_what_is_not_invertible_is_refused(private):
    public = private.public
    shared = private._p * 3
    with pytest.raises(InvalidCiphertext):
        factor(public, [mpz(2), shared])
    with pytest.raises(InvalidCiphertext):
        inverses([shared], public.n)
