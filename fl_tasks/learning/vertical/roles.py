"""Who takes part in protocols over columns that lie with several parties; light, for descriptors."""

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
DEALER_RISK = "with dealer, the arbiter and one data party together could read another's columns, and a network's labels"
