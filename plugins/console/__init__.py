"""The federation console: pages inside the Airflow UI that show this party's record. It reads and never writes."""
