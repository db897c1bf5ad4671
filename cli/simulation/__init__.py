"""All parties of an agreement on this machine, each in its own process, without Airflow."""
