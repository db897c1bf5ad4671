"""One conformance suite that every protocol passes by being listed.

``test_declared.py`` compares a descriptor with its parts; nothing runs. ``test_protocols.py`` runs every protocol on every
engine: a small federation (``cases.py``) with the fewest parties that the roles allow, made from the descriptor, goes through
training, evaluation and a prediction, or through the stages that a protocol has instead. One undisturbed run per case is shared
by five checks (``checks.py``):

1. What is sent is what is declared, by message and by the roles of sender and recipient.
2. With each party's memory thrown away after every checkpoint the model is the same.
3. With programs killed right before or right after a sending, and begun anew, the result of every stage is the same.
4. The held-out scores are those of the protocol's reference, within its tolerance.
5. Hostile values in every column of every message (``hostile.py``) are refused with a code that names their sender. For this the
   parties take turns, and forget everything at every wait for a message.

A protocol that needs something of its data that no descriptor says has a hint in ``cases.py``. The tables in ``exceptions.py``
say what cannot hold for all, each entry with its reason: messages that these cases do not send, models that are the same only in
their scores, tolerances, and forgeries that nobody can tell from true values.

A protocol from elsewhere is checked by :func:`tests.conformance.checks.conform` with its descriptor.
"""
