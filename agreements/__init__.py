"""What parties agree on and what each settles for itself: terms, amendments, manifests, party settings. No machine learning."""
