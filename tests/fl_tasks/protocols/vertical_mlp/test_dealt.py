"""The vertical network on dealt shares: the numbers of the encrypted one, and what a peer or the dealer makes wrong is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fl_tasks.protocols.vertical_mlp.parties import blocks, joined, layout, sample, train
from tombolo.fl_tasks.learning.vertical.dealt_gradient import BadSeed
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.protocols.vertical_mlp import dealt
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural
from tombolo.fl_tasks.protocols.vertical_mlp.grid import WEIGHT_BITS
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooLarge
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.schema import ForeignNumber, TooManyRows

FAR = np.uint64(1 << 62)
"""What is added to every word: the number is far off."""


def test_a_model_of_either_engine_is_the_same(tmp_path):
    """From the same first weights and batches one round leads to the same network, up to rounding."""
    found, x, y = {}, *sample(160)
    for engine, protocol in (("paillier", neural), ("dealer", dealt)):
        folder = tmp_path / engine
        folder.mkdir()
        fed = layout(folder, engine=engine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "prf", lambda self, *labels: _alike(self, labels))
            patch.setattr(Session, "common", lambda self: _alike(self, ("common",)))
            fed.start(rounds=1)
            found[engine] = train(fed, blocks(fed, x, y), protocol)
    one, other = found["paillier"], found["dealer"]
    assert other["clinic"]["loss"] == one["clinic"]["loss"]
    assert other["clinic"]["w"].tolist() == one["clinic"]["w"].tolist()
    assert joined(other, "clinic", "lab") == pytest.approx(joined(one, "clinic", "lab"), abs=2 * 2.0**-WEIGHT_BITS)
    assert other["lab"]["w"] == pytest.approx(one["lab"]["w"], abs=1e-7)


def _alike(session: Session, labels):
    from tombolo.fl_tasks.crypto.prf import Prf

    return Prf(b"1" * 32 if labels == ("common",) else session.me.encode().ljust(32) + repr(labels).encode())


@pytest.mark.parametrize(
    ("sender", "name", "change", "error", "at"),
    [
        ("lab", "masked_units", lambda v: v[:-3], WrongLength, "lab"),
        ("lab", "masked_inputs", lambda v: v[:-3], WrongLength, "lab"),
        ("lab", "masked_share", lambda v: v[:-1], WrongLength, "lab"),
        ("lab", "masked_bends", lambda v: np.append(v, v), TooManyRows, "lab"),
        ("lab", "shared_sums", lambda v: v[:-3], WrongLength, "lab"),
        ("lab", "shared_sums", lambda v: v + FAR, TooLarge, "lab"),
        ("lab", "shared_step", lambda v: v + FAR, TooLarge, "lab"),
        ("lab", "columns", lambda v: 0, WrongLength, "lab"),
        ("lab", "columns", lambda v: 1 << 40, ForeignNumber, "lab"),
        ("clinic", "rows", lambda v: -1, ForeignNumber, "clinic"),
        ("clinic", "rows", lambda v: 1 << 40, ForeignNumber, "clinic"),
        ("clinic", "rows", lambda v: v + 1, TooManyRows, "notary"),
        ("clinic", "masked_weights", lambda v: v[:-3], WrongLength, "clinic"),
        ("clinic", "masked_slopes", lambda v: v[3:], WrongLength, "clinic"),
        ("clinic", "masked_unit_slopes", lambda v: v[3:], WrongLength, "clinic"),
        ("clinic", "shared_gradient", lambda v: v[3:], WrongLength, "clinic"),
        ("clinic", "shared_gradient", lambda v: v + FAR, TooLarge, "clinic"),
        ("notary", "seed", lambda v: v[:16], BadSeed, "notary"),
        ("notary", "seed", lambda v: bytes(reversed(v)), TooLarge, None),
        ("notary", "sums_correction", lambda v: v[3:], WrongLength, "notary"),
        ("notary", "corrections", lambda v: v[3:], WrongLength, "notary"),
        ("notary", "corrections", lambda v: v + FAR, TooLarge, None),
    ],
)
def test_what_a_peer_or_the_dealer_makes_wrong_is_refused(tmp_path, monkeypatch, sender, name, change, error, at):
    fed = layout(tmp_path, engine="dealer")
    fed.start(rounds=1)
    real = Session.send

    def send(self, message, to=None, /, **columns):
        forged = (self.me, message) == (sender, name)
        real(self, message, to, **({key: change(value) for key, value in columns.items()} if forged else columns))

    monkeypatch.setattr(Session, "send", send)
    with pytest.raises(error) as caught:
        train(fed, blocks(fed, *sample(160)), dealt)
    assert at is None or caught.value.party == at
