"""How artifacts are sent: typed schemas, signed and sealed envelopes, object stores, exchange. No machine learning."""
