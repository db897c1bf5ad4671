"""Networks over clients' rows: federated averaging and secure aggregation."""
