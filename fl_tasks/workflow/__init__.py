"""The stages of a run. Each stage is a function that one party calls. It can be stopped and called again at any time."""
