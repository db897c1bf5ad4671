"""The federation console: what this party's record says, as pages inside the Airflow UI; reads, never writes."""
