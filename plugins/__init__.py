"""Airflow plugins: the federation console."""
