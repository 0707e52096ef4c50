# shellcheck shell=bash
# Makes a Python environment with Airflow as airflow/requirements.txt locks it. Sourced by test_airflow and demo, which set
# `root` and source packages.sh.

: "${root:?is the folder of the clone}"

airflow_home=$root/.services/airflow
airflow_python=$airflow_home/venv/bin/python

# Prints a Python that the lock is for.
find_python() {
    local candidate
    for candidate in python3.12 python3.11 python3.13 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Installs what is locked, unless it is there; a lock that has changed makes the environment anew.
need_airflow() {
    local lock=$root/airflow/requirements.txt mark=$airflow_home/installed python
    [ -d "$root/.services" ] || mkdir -p "$root/.services"
    mkdir -p "$airflow_home"
    if cmp -s "$lock" "$mark"; then return; fi
    python=$(find_python) || { install_packages python3 python3-venv && python=$(find_python); } ||
        die "found no Python 3.11 to 3.13 with venv; install one"
    say "installing Airflow (a few minutes the first time)"
    rm -rf "$airflow_home/venv" "$mark"
    "$python" -m venv "$airflow_home/venv"
    # uv installs in seconds what takes pip minutes; both hold every file against its hash.
    if command -v uv >/dev/null; then
        uv pip sync --quiet --require-hashes --python "$airflow_python" "$lock" >&2
    else
        "$airflow_python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock" >&2
    fi
    cp "$lock" "$mark"
}

airflow=       # the folder of the Airflow that runs, once there is one
airflow_port=

# Prints the processes of the Airflow in a folder: its tasks are in process groups of their own.
airflow_processes() {
    local found
    grep -lzxFs "AIRFLOW_HOME=$1" /proc/[0-9]*/environ | while read -r found; do
        found=${found#/proc/}
        echo "${found%/environ}"
    done
}

# Ends the Airflow in a folder; nothing of the service waits for it.
end_airflow() {
    local -a pids
    mapfile -t pids < <(airflow_processes "$1")
    end_processes 20 "${pids[@]}"
}

# Sends a request to the Airflow that runs, with a login: ask_airflow METHOD PATH [JSON]; prints the answer.
ask_airflow() {
    AIRFLOW_PASSWORD=$(<"$airflow/password") "$airflow_python" - "http://127.0.0.1:$airflow_port" "$@" <<'PYTHON'
import json, os, sys, urllib.request

base, method, path, body = (*sys.argv[1:], None)[:4]


def send(method, path, body, **headers):
    request = urllib.request.Request(
        base + path, method=method, data=body and body.encode(), headers={"Content-Type": "application/json"} | headers
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


login = json.dumps({"username": "admin", "password": os.environ["AIRFLOW_PASSWORD"]})
token = json.loads(send("POST", "/auth/token", login))["access_token"]
print(send(method, path, body, Authorization="Bearer " + token))
PYTHON
}

# Starts an Airflow in a folder, with the DAGs of the clone and a connection to the service at a port, and waits until the
# DAG is known that is named: start_airflow FOLDER SERVICE_PORT DAG. Further settings come from the environment.
start_airflow() {
    local name
    airflow=$1
    mkdir -p "$airflow"
    end_airflow "$airflow"
    airflow_port=$(choose_port "$airflow/port")
    printf '%s' "$airflow_port" >"$airflow/port"
    [ -s "$airflow/password" ] || od -An -N8 -tx1 /dev/urandom | tr -d ' \n' >"$airflow/password"
    [ -s "$airflow/secret" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$airflow/secret"
    chmod 600 "$airflow/password" "$airflow/secret"
    printf '{"admin": "%s"}\n' "$(<"$airflow/password")" >"$airflow/users.json"
    chmod 600 "$airflow/users.json"
    (
        # What the service is set with is none of Airflow's business, nor is another Airflow's what this one is set with.
        for name in "${!NYC311_@}" "${!AIRFLOW__@}"; do unset "$name"; done
        export AIRFLOW_HOME=$airflow PATH=${airflow_python%/*}:$PATH
        export AIRFLOW__CORE__DAGS_FOLDER=$root/airflow/dags AIRFLOW__CORE__PLUGINS_FOLDER=$root/airflow/plugins
        export AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__EXECUTOR=LocalExecutor AIRFLOW__CORE__PARALLELISM=4
        export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=admin:admin
        export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=$airflow/users.json
        export AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://127.0.0.1:$airflow_port/execution/
        export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT=$airflow_port AIRFLOW__API__WORKERS=1
        AIRFLOW__API_AUTH__JWT_SECRET=$(<"$airflow/secret")
        AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=$(choose_port "$airflow/worker_port")
        AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=$(choose_port "$airflow/trigger_port")
        export AIRFLOW__API_AUTH__JWT_SECRET AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT
        export AIRFLOW_CONN_NYC311="{\"conn_type\": \"http\", \"host\": \"http://127.0.0.1\", \"port\": $2}"
        cd "$airflow" && exec setsid airflow standalone </dev/null >"$airflow/airflow.log" 2>&1 8>&-
    ) &
    local deadline=$((SECONDS + 180))
    until ask_airflow GET "/api/v2/dags/$3" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            tail -n 15 "$airflow/airflow.log" >&2
            die "Airflow did not know the DAG $3 within three minutes; its log is $airflow/airflow.log"
        fi
        sleep 1
    done
}
