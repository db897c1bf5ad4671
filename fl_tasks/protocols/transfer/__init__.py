"""Federated transfer learning: few users in common, labels at one party only (white paper 3.3; Liu, Kang, Xing, Chen, Yang 2018).

The guest is the source, with labels; the host is the target, whose own users are predicted for.
"""
