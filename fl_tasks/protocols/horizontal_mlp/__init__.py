"""Networks over the rows of clients, by federated averaging and secure aggregation."""
