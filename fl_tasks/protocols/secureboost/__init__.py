"""SecureBoost: gradient-boosted trees over the columns of a guest and any number of hosts, without an arbiter.

Cheng et al. 2019 (arXiv 1901.08755); packing and compression as in Chen et al. 2021 (arXiv 2110.10927); white paper 3.2. The guest
holds the labels and the key. A round grows one tree, or one tree per class if there are several classes.
"""
