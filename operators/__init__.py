"""Airflow operators, triggers and workflows of a federation: waiting, retrying and aborting; no cryptography, no machine learning."""
