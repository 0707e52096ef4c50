#!/usr/bin/env bash
# Makes the roles and databases, once, while the data folder is made: run by the image of PostgreSQL.
#   nyc311         owns the database of the tables
#   nyc311_reader  reads every table and writes none: dashboards
#   airflow        owns Airflow's own database
set -euo pipefail

# On standard input: an argument could be read by everybody in the container.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<SQL
create role nyc311 login password '$(</run/secrets/database_password)';
create database nyc311 owner nyc311;
create role nyc311_reader login password '$(</run/secrets/reader_password)';
grant pg_read_all_data to nyc311_reader;
create role airflow login password '$(</run/secrets/airflow_database_password)';
create database airflow owner airflow;
SQL
