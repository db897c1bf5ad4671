"""Airflow operators, triggers and workflows of a federation: waiting, retrying, aborting; no cryptography, no learning."""
