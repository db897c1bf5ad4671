"""Tables of powers: right, made once, made anew when damaged, few, and never where others can write."""

import gmpy2
import numpy as np
import pytest

from tombolo.fl_tasks.crypto import powers
from tombolo.fl_tasks.crypto.factors import join
from tombolo.fl_tasks.crypto.powers import Powers, folder, kept

BITS, WINDOW = 20, 10


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def base(public):
    return gmpy2.mpz(3)


def unexpected(public):
    raise AssertionError("the table was made again")


def check(public, table):
    digits = np.array([[0, 0], [5, 0], [1023, 1023], [1, 2]])
    found = [join(public, *one) for one in table.products(digits)]
    assert found == [gmpy2.powmod(3, low + (high << WINDOW), public.nsquare) for low, high in digits.tolist()]


def table_files():
    return [one for one in folder().iterdir() if one.name != "lock"]


def test_a_table_is_made_once(public):
    assert not kept(public, BITS, WINDOW)
    check(public, Powers(public, base, BITS, WINDOW))
    assert kept(public, BITS, WINDOW)
    check(public, Powers(public, unexpected, BITS, WINDOW))


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "foreign"])
def test_a_damaged_table_is_made_anew(public, damage):
    Powers(public, base, BITS, WINDOW)
    (file,) = table_files()
    whole = file.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    file.write_bytes({"flipped": flipped, "cut": whole[:-7], "empty": b"", "foreign": b"x" * len(whole)}[damage])
    check(public, Powers(public, base, BITS, WINDOW))
    assert file.read_bytes() == whole


def test_a_folder_that_others_write_to_is_left_alone(public, cache):
    folder().mkdir(parents=True)
    folder().chmod(0o777)
    check(public, Powers(public, base, BITS, WINDOW))
    assert not list(folder().iterdir())


def test_without_a_folder_the_table_is_in_memory(public, cache):
    cache.write_text("a file where the folder would be")
    check(public, Powers(public, base, BITS, WINDOW))


def test_small_tables_leave_no_file(public):
    Powers(public, base, BITS, 4)
    assert not folder().exists()


def test_old_tables_are_forgotten(public, other, monkeypatch):
    monkeypatch.setattr(powers, "_TABLES_KEPT", 1)
    Powers(other.public, base, BITS, WINDOW)
    Powers(public, base, BITS, WINDOW)
    assert kept(public, BITS, WINDOW)
    assert not kept(other.public, BITS, WINDOW)
