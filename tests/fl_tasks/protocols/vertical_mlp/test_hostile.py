"""What a peer sends is refused where it is not what the protocol asks for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.fl_tasks.protocols.vertical_mlp.parties import blocks, layout, sample, train
from tombolo.fl_tasks.crypto.errors import MalformedPacking
from tombolo.fl_tasks.protocols.vertical_mlp import dealt, encrypted
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooLarge
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.schema import TooManyRows

SENT = encrypted.send_sums


def refused(tmp_path) -> CodedError:
    fed = layout(tmp_path)
    fed.start(rounds=1)
    with pytest.raises(CodedError) as caught:
        train(fed, blocks(fed, *sample(160)))
    return caught.value


@pytest.mark.parametrize(
    ("name", "forged", "error", "at"),
    [
        ("send_sums", lambda s, key, alpha, share: SENT(s, key, alpha, share + 2**700), MalformedPacking, "lab"),
        ("send_sums", lambda s, key, alpha, share: SENT(s, key, alpha, share + 2**85), TooLarge, "lab"),
    ],
)
def test_forged_messages(tmp_path, monkeypatch, name, forged, error, at):
    monkeypatch.setattr(encrypted, name, forged)
    found = refused(tmp_path)
    assert isinstance(found, error)
    assert found.party == at


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
    with pytest.raises(TooManyRows) as caught:
        train(fed, blocks(fed, *sample(160)), protocol)
    assert caught.value.party == "lab"
