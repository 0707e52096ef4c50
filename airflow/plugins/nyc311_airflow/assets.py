"""What other DAGs can be scheduled on."""

from __future__ import annotations

from airflow.sdk import Asset

# The tables of the schema nyc311; its events carry the counts of the poll as extra.
TABLES = Asset(name="nyc311_tables", uri="nyc311://tables/service_request", group="nyc311")
