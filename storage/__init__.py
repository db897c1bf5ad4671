"""The journey of an artifact: typed schema, signed and sealed envelope, object store, exchange. Knows no machine learning."""
