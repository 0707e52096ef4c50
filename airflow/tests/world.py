"""A city, the service and its tables, real ones, for the tests of the DAGs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("NYC311_BINARY", ROOT / "target/debug/nyc311"))
SERVERS = os.environ.get("NYC311_TEST_SERVERS", "airflow-test")

# No machine is so slow; what is waited for comes much sooner.
PATIENCE_S = 90.0

TOKEN = "a-token-of-the-tests"  # noqa: S105


def sql(statement: str, database: str = "postgres") -> str:
    """Runs a statement in the private PostgreSQL, and returns what it printed."""
    command = [ROOT / "scripts/services", "psql", "--name", SERVERS, "--"]
    command += ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-Atc", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what: str, condition: Any, patience_s: float = PATIENCE_S) -> Any:
    """Returns what the condition gives, as soon as that is true."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            found = condition()
            if found:
                return found
        time.sleep(0.1)
    raise AssertionError(f"waited {patience_s:g} s in vain until {what}")


class Program:
    """A process of nyc311, with its own log."""

    def __init__(self, folder: Path, name: str, *arguments: str, **settings: str) -> None:
        self.name, self.arguments, self.settings = name, arguments, settings
        self.log = folder / f"{name}.log"
        self.out = folder / f"{name}.out"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NYC311_")}
        with self.log.open("ab") as log, self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [BINARY, *self.arguments],
                env=environment | self.settings,
                stdout=out,
                stderr=log,
                cwd=self.log.parent,
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE_S)
            self.process = None


class World:
    """A simulated city of a year and a process of the service that polls it, on a database of its own."""

    def __init__(self, folder: Path, rows: int = 3000, **settings: str) -> None:
        self.database = f"nyc311_airflow_{uuid.uuid4().hex[:12]}"
        sql(f"create database {self.database}")
        self.port = free_port()
        self.city = Program(
            folder,
            "city",
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--rows",
            str(rows),
            "--rows-per-day",
            "8",
            "--seed",
            "311",
        )
        self.city.start()
        wait_until("the city answers", lambda: self.city.out.read_text().strip())
        self.source = self.city.out.read_text().strip()
        url = os.environ["NYC311_DATABASE__URL"].rsplit("/", 1)[0]
        self.service = Program(
            folder,
            "service",
            "run",
            **{
                "NYC311_SOURCE__URL": self.source,
                "NYC311_SOURCE__PAGE_ROWS": "500",
                "NYC311_SOURCE__RETRY_MAX_ELAPSED": "5s",
                "NYC311_DATABASE__URL": f"{url}/{self.database}",
                "NYC311_KAFKA__BOOTSTRAP_SERVERS": os.environ["NYC311_KAFKA__BOOTSTRAP_SERVERS"],
                "NYC311_KAFKA__RAW_TOPIC": f"{self.database}.raw",
                "NYC311_KAFKA__ENRICHED_TOPIC": f"{self.database}.enriched",
                "NYC311_KAFKA__DEAD_LETTER_TOPIC": f"{self.database}.dead_letter",
                "NYC311_KAFKA__GROUP_PREFIX": self.database,
                "NYC311_INSTANCE__ID": self.database,
                "NYC311_HTTP__LISTEN": f"127.0.0.1:{self.port}",
                "NYC311_HTTP__TOKEN": TOKEN,
                "NYC311_FAULTS__ENABLED": "true",
                **settings,
            },
        )
        self.start_service()

    def start_service(self) -> None:
        self.service.start()
        wait_until("the service is ready", lambda: self.get("readyz")["ready"])

    def kill_service(self) -> None:
        self.service.end(signal.SIGKILL)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def polls(self, states: str = "") -> list[dict[str, Any]]:
        """Lists polls, newest first."""
        return self.get(f"v1/polls?limit=500&state={states}" if states else "v1/polls?limit=500")["polls"]

    def break_city(self, **fault: Any) -> None:
        """Has the city misbehave; without arguments it behaves again."""
        base = self.source.split("/resource/")[0]
        request = urllib.request.Request(
            f"{base}/simulator/faults",
            method="POST" if fault else "DELETE",
            data=json.dumps(fault).encode() if fault else None,
        )
        with urllib.request.urlopen(request, timeout=30):
            pass

    def connection(self, port: int | None = None, token: str = TOKEN) -> str:
        """Returns the connection as Airflow takes it from the environment."""
        return json.dumps(
            {
                "conn_type": "http",
                "host": "http://127.0.0.1",
                "port": port or self.port,
                "extra": {"Authorization": f"Bearer {token}"},
            }
        )

    def tables(self) -> dict[str, str]:
        """Sums the tables up, but for what is a clock or an origin of ours."""
        return {
            table: sql(_SUM.format(table=table, left_out=left_out), self.database)
            for table, left_out in _TABLES
        }

    def end(self) -> None:
        self.service.end(signal.SIGTERM)
        self.city.end()
        sql(f"drop database {self.database} with (force)")


_TABLES = (
    ("service_request", "first_seen_at,last_changed_at"),
    ("service_request_history", "first_seen_at"),
    ("rollup_daily", ""),
    ("rollup_response_monthly", ""),
    (
        "dead_letter",
        "kafka_cluster_id,topic,kafka_partition,kafka_offset,headers,poll_id,rejected_by,first_seen_at",
    ),
)

# Each row as JSON, sorted.
_SUM = """select count(*) || ' ' || coalesce(md5(string_agg(line, E'\\n' order by line collate "C")), '')
from (select (to_jsonb(t) - string_to_array('{left_out}', ','))::text as line from nyc311.{table} t) lines"""
