"""Numbers in halves: the same products as modulo n^2."""

from gmpy2 import mpz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fl_tasks.crypto.halves import ONE, halve, join, multiply


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=st.integers(0, 2**2100), b=st.integers(0, 2**2100))
def test_products_are_those_modulo_n_squared(public, a, b):
    n, modulus = public.n, public.nsquare
    one, two = halve([mpz(a) % modulus, mpz(b) % modulus], n)
    assert join(multiply(one, two, n), n) == a * b % modulus
    assert multiply(one, ONE, n) == one
    assert all(0 <= half < n for half in multiply(one, two, n))
