"""The holder's key and its peers' view of it: what is shorter than a party accepts is refused, whoever made it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.federation import FOREVER, TEST_BITS, quiet
from tests.fl_tasks.protocols.linear.test_programs import layout
from tombolo.agreements.reading import BadDocument
from tombolo.fl_tasks.crypto.errors import WeakKey
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.learning.vertical.key_holder import own_key, peer_key
from tombolo.fl_tasks.protocols.linear.programs import MESSAGES
from tombolo.fl_tasks.runtime.context import PartyContext


def test_short_keys_are_refused_by_default(tmp_path):
    fed = layout(tmp_path, "linear")
    run = fed.start()

    def session(party: str, shortest: int):
        return replace(fed.context(party), shortest_key=shortest).session(run, MESSAGES, "train", FOREVER, quiet)

    with pytest.raises(BadDocument, match="key_bits must be 2048"):
        PartyContext.open(fed.name, fed.settings("lab"))
    with session("notary", MIN_BITS) as strict, pytest.raises(WeakKey, match="1024 bits"):
        own_key(strict)
    with session("notary", TEST_BITS) as holder:
        holder.send("public_key", key=own_key(holder).public.to_bytes())
    with session("notary", MIN_BITS) as strict, pytest.raises(WeakKey):
        own_key(strict)  # made by somebody who accepted it
    with session("lab", MIN_BITS) as strict, pytest.raises(WeakKey):
        peer_key(strict, "notary")
    with session("lab", TEST_BITS) as peer:
        assert peer_key(peer, "notary").bits == TEST_BITS
