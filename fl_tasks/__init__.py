"""The protocols and the cryptography: plain functions over a session, with no knowledge of Airflow."""
