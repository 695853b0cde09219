"""Schedules and backfills: DAGs for Airflow, which need nothing else of this project."""
