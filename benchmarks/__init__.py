"""Benchmarks: they compare the speed of Tombolo with other software and with hardware limits. They are not tests."""
