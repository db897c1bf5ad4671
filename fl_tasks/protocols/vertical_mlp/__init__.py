"""A network over columns of several parties: units at each, an encrypted layer between them, the labels at the guest.

White paper 3.2 (neural models on vertical data). The encrypted layer is FATE's (Zhang and Zhu 2020, arXiv 2007.06849) in a form
that shows hosts no row's derivative: those are per row at the guest and as ciphertexts at hosts, which learn sums over batches.
Two more forms of the layer are :mod:`~fl_tasks.vertical.neural.dealt`, on shares that an arbiter deals, and
:mod:`~fl_tasks.vertical.neural.split`, which hides nothing.
"""
