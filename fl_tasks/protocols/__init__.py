"""The protocols: one folder each. ``protocol.py`` describes a protocol and names its parts, which are loaded at first use."""
