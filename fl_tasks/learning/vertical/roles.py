"""The roles of protocols over the columns of several parties. Descriptors use it; it imports little."""

from __future__ import annotations

from tombolo.agreements.protocol import Role

BOTH = ("train", "predict")
GUEST = Role("guest", tables=BOTH)
HOSTS = Role("host", most=None, tables=BOTH)
ARBITER = Role("arbiter")
ARBITER_IF_WANTED = Role("arbiter", least=0)
WITH_ARBITER = (GUEST, HOSTS, ARBITER)
WITHOUT_ARBITER = (GUEST, HOSTS, ARBITER_IF_WANTED)

DEALER_WAIVER = "expose-features-to-colluding-arbiter"
DEALER_RISK = (
    "with dealer, the arbiter and one data party together could read the columns of another party, and the labels of a network"
)
