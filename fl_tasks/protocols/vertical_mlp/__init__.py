"""A network over the columns of several parties: units at each party, labels at the guest, an encrypted layer between them.

White paper 3.2 (neural models on vertical data). The encrypted layer is that of FATE (Zhang and Zhu 2020, arXiv 2007.06849) in a
form that shows no derivative of a single row to a host. The guest has the derivatives of the rows; hosts have them as ciphertexts,
and learn only sums over batches. There are two more forms of the layer: on shares that an arbiter deals
(:mod:`tombolo.fl_tasks.protocols.vertical_mlp.dealt`), and one that hides nothing
(:mod:`tombolo.fl_tasks.protocols.vertical_mlp.split`).
"""
