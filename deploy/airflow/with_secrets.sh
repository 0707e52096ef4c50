#!/usr/bin/env bash
# Starts a part of Airflow with the secrets of /run/secrets, which are files so that no `inspect` shows them.
set -euo pipefail

secret() {
    cat "${SECRETS_FOLDER:-/run/secrets}/$1"
}

AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql+psycopg2://airflow:$(secret airflow_database_password)@postgres:5432/airflow
AIRFLOW__CORE__FERNET_KEY=$(secret airflow_fernet_key)
AIRFLOW__API_AUTH__JWT_SECRET=$(secret airflow_jwt_secret)
AIRFLOW__API__SECRET_KEY=$(secret airflow_jwt_secret)
# A login would be sent as Basic and take the place of the header.
AIRFLOW_CONN_NYC311=$(printf '{"conn_type":"http","host":"http://nyc311","port":8311,"extra":{"Authorization":"Bearer %s"}}' \
    "$(secret http_token)")
export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN AIRFLOW__CORE__FERNET_KEY AIRFLOW__API_AUTH__JWT_SECRET AIRFLOW__API__SECRET_KEY \
    AIRFLOW_CONN_NYC311
# Airflow opens this file for writing, too.
printf '{"admin": "%s"}\n' "$(secret airflow_password)" >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"

exec /entrypoint "$@"
