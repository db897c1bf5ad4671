"""SecureBoost: gradient-boosted trees over columns that lie at a guest and any number of hosts, without an arbiter.

Cheng et al. 2019 (arXiv 1901.08755); packing and compression as in Chen et al. 2021 (arXiv 2110.10927); white paper 3.2. The guest
holds labels and key. A round is a tree (one per class for several classes).
"""
