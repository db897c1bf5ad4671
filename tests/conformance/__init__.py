"""One conformance suite that every protocol passes by being listed.

``test_declared.py`` compares a descriptor with its parts; nothing runs. ``test_protocols.py`` runs every protocol on every engine:
a small federation (``cases.py``) with the fewest parties that the roles allow, made from the descriptor, goes through training,
evaluation and a prediction, or through the stages that a protocol has instead. One undisturbed run per case is shared by five checks
(``checks.py``):

1. what is sent is what is declared, by message and roles of sender and recipient;
2. with each party's memory thrown away after every round, and then at every wait for a message, the result is the same;
3. with programs killed right before or right after a sending, and begun anew, the result is the same;
4. the held-out scores are those of the protocol's reference, within its tolerance;
5. hostile values in every column of every message (``hostile.py``) are refused with a code that names their sender.

A protocol that needs something of its data that no descriptor says has a hint in ``cases.py``. Four short tables in ``exceptions.py``
say what cannot hold for all, each entry with its reason: messages that these cases do not send, models that repeat only up to fresh
masks, tolerances, and columns of which any value may come. An entry that is not needed fails too.

A protocol from elsewhere is checked by :func:`tests.conformance.checks.conform` with its descriptor.
"""
