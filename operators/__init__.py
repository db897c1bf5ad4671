"""Airflow operators, triggers and DAGs: waiting, retrying, aborting. No cryptography, no machine learning."""
