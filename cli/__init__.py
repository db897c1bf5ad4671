"""The ``tombolo`` command: keys, agreements, preflight, local simulation, the demo, acceptance."""
