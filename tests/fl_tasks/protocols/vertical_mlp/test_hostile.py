"""What a peer sends is refused where it is not what the protocol asks for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.fl_tasks.protocols.vertical_mlp.parties import blocks, layout, sample, train
from tombolo.fl_tasks.crypto.errors import MalformedPacking
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.protocols.vertical_mlp import dealt, encrypted, split
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural
from tombolo.fl_tasks.protocols.vertical_mlp.forward import Sums
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooLarge
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError

SLOPES, UNITS, SENT = encrypted.send_slopes, encrypted.send_units, encrypted.send_sums


def refused(tmp_path) -> CodedError:
    fed = layout(tmp_path)
    fed.start(rounds=1)
    with pytest.raises(CodedError) as caught:
        train(fed, blocks(fed, *sample(160)))
    return caught.value


@pytest.mark.parametrize(
    ("name", "forged", "error", "at"),
    [
        ("send_units", lambda s, key, alpha: UNITS(s, key, alpha[:, :-1]), WrongLength, "lab"),
        ("send_sums", lambda s, key, alpha, share: SENT(s, key, alpha, share + 2**700), MalformedPacking, None),
        ("send_sums", lambda s, key, alpha, share: SENT(s, key, alpha, share + 2**85), TooLarge, "lab"),
        ("send_slopes", lambda s, key, host, delta, share: SLOPES(s, key, host, delta[:-1], share), WrongLength, "clinic"),
    ],
)
def test_forged_messages(tmp_path, monkeypatch, name, forged, error, at):
    monkeypatch.setattr(encrypted, name, forged)
    found = refused(tmp_path)
    assert isinstance(found, error)
    assert at is None or found.party == at


def test_sums_of_another_width(tmp_path, monkeypatch):
    real = Sums.ask
    monkeypatch.setattr(Sums, "ask", lambda self, share: real(self, share[:, :-1]))
    assert isinstance(refused(tmp_path), WrongLength)


@pytest.mark.parametrize(
    ("engine", "protocol", "name", "column"),
    [("paillier", neural, "masked_gradient", "gradient"), ("dealer", dealt, "masked_inputs", "x")],
)
def test_gradients_of_more_weights_than_the_rows_allow(tmp_path, monkeypatch, engine, protocol, name, column):
    real = Session.send

    def send(self, sent, to=None, /, **columns):
        if sent == name:
            columns[column] = pa.concat_arrays([pa.array(columns[column])] * 12)
        real(self, sent, to, **columns)

    monkeypatch.setattr(Session, "send", send)
    fed = layout(tmp_path, engine=engine)
    fed.start(rounds=1)
    with pytest.raises(WrongLength) as caught:
        train(fed, blocks(fed, *sample(160)), protocol)
    assert caught.value.party == "lab"


@pytest.mark.parametrize("forge", [lambda units: units[:-1], lambda units: np.where(units > 0, np.nan, units)])
def test_readable_units_of_another_number_or_kind(tmp_path, monkeypatch, forge):
    real = split.SplitHost.show
    monkeypatch.setattr(split.SplitHost, "show", lambda self, units: real(self, forge(units)))
    fed = layout(tmp_path, engine="split")
    fed.start(rounds=1)
    with pytest.raises(WrongLength):
        train(fed, blocks(fed, *sample(160)), split)
