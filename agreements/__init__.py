"""What the parties agree on, and what each party sets for itself: terms, amendments, manifests, settings. No machine learning."""
