"""Federated transfer learning: few common users, labels at one party only (white paper 3.3; Liu, Kang, Xing, Chen, Yang 2018).

The guest is the source: it has the labels. The host is the target: the model predicts for its own users.
"""
