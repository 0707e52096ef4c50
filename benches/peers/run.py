"""Runs nyc311 and what one would take instead of it over the same topic, one after the other, and says what each costs.

`make bench-peers` starts the servers, fetches the peers and runs it; docs/performance.md says what is measured and how.
"""

import os
import subprocess
import sys
import time
from datetime import datetime, timezone
from urllib.parse import urlsplit, urlunsplit

import psycopg

import connect
import report
from pipeline import Pipeline
from processes import Peak, Servers, command_line, end, wait_until
from table import CREATE, VERSION
from topic import fingerprint, newest_versions

HERE = os.path.dirname(os.path.abspath(__file__))
TOPIC = "nyc311.raw"
PATIENCE_S = 240
NO_PIPELINE = "repairs, places, rollups, history, marks of duplicates, dead letters"
REPEATS = "at least once, made harmless by the upsert"


def setting(name):
    return os.environ[name]


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def database_url(name):
    return urlunsplit(urlsplit(setting("NYC311_DATABASE__URL"))._replace(path=f"/{name}"))


class Peer:
    """How one of them is started, and how it tells that it begins to read and that it has committed everything."""

    table = "service_request"
    version = VERSION
    begins = "reading\n"

    def __init__(self, name, title, leaves_out):
        self.name = name
        self.title = title
        self.leaves_out = leaves_out
        self.folder = os.path.join(setting("PEERS_FOLDER"), name)
        self.log = os.path.join(self.folder, "log")
        os.makedirs(self.folder)
        self.environment = {
            "DATABASE": database_url(name),
            "BOOTSTRAP": setting("NYC311_KAFKA__BOOTSTRAP_SERVERS"),
            "TOPIC": TOPIC,
            "GROUP": f"peer-{name}",
            "FOLDER": self.folder,
            "JARS": os.path.join(setting("PEERS_TOOLS"), name),
            "JAVA": setting("PEERS_JAVA"),
        }

    def create(self, server):
        """Makes a database of its own with the table in it."""
        server.execute(f"create database {self.name}")
        with psycopg.connect(database_url(self.name)) as connection:
            connection.execute(CREATE.replace(VERSION, self.version))

    def command(self):
        python = os.path.join(setting("PEERS_TOOLS"), "spark" if self.name == "spark" else "clients", "bin", "python")
        environment = {f"PEER_{key}": value for key, value in self.environment.items()}
        return [python, os.path.join(HERE, f"{self.name}.py")], environment

    def said(self, text):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return text in file.read()

    def last_lines(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-15:])

    def ended_at(self, _connection, _expected):
        """Returns when all was committed, or nothing as long as it is not."""
        return time.monotonic() if self.said("done\n") else None


class Connect(Peer):
    """The sink never ends: it is done when the log of the database stands still with everything in the table."""

    version = '":updated_at"'
    begins = "Resetting offset for partition"
    QUIET_S = 0.3

    def __init__(self, *described):
        super().__init__(*described)
        self.position = None
        self.moved_at = 0.0
        self.looked_at = None

    def command(self):
        return connect.command(self.environment), {}

    def ended_at(self, connection, expected):
        position = connection.execute("select pg_current_wal_insert_lsn()").fetchone()[0]
        if position != self.position:
            self.position, self.moved_at = position, time.monotonic()
        elif self.looked_at != position and time.monotonic() - self.moved_at > self.QUIET_S:
            self.looked_at = position
            if fingerprint(connection, self.table, self.version) == expected:
                return self.moved_at
        return None


class Nyc311(Peer):
    """The process that works from the raw topic to the tables, while the control process follows the poll."""

    table = "nyc311.service_request"
    begins = 'partition opened stage="raw_consumer"'

    def __init__(self, pipeline, *described):
        super().__init__(*described)
        self.pipeline = pipeline

    def create(self, server):
        """It has made its tables itself, in the database of its settings."""

    def command(self):
        return self.pipeline.worker()

    def ended_at(self, _connection, _expected):
        return time.monotonic() if self.pipeline.state() == "succeeded" else None


def measure(peer, server, servers, expected, helpers=()):
    """Runs a peer over the whole topic; the clock runs from when it begins to read to when all is committed."""
    peer.create(server)
    # What memory owes the disks of the peer before is no matter of this one.
    server.execute("checkpoint")
    with psycopg.connect(database_url(peer.name), autocommit=True) as connection, open(peer.log, "wb") as log:
        servers.own_backends.add(connection.info.backend_pid)
        command, environment = peer.command()
        helping = servers.used(helpers)["peer"]
        started_at = time.monotonic()
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        process = subprocess.Popen(command, cwd=peer.folder, env=os.environ | environment, **streams)
        peak = Peak(process.pid)
        peak.start()

        def alive(condition):
            found = condition()
            if not found and process.poll() is not None and not condition():
                raise RuntimeError(f"it ended by itself with code {process.returncode}")
            return found

        try:
            wait_until("its first record", lambda: alive(lambda: peer.said(peer.begins)), PATIENCE_S, every=0.02)
            began_at, before = time.monotonic(), servers.used([process.pid, *helpers])
            ended_at = wait_until("its end", lambda: alive(lambda: peer.ended_at(connection, expected)), PATIENCE_S)
            after = servers.used([process.pid, *helpers])
            found = fingerprint(connection, peer.table, peer.version)
            if found != expected:
                raise RuntimeError(f"keys, their sum, the sum of versions are {found} in the table, not {expected}")
        finally:
            peak_bytes = peak.end()
            end(process)
    return {
        "seconds": ended_at - began_at,
        "cpu_s": {name: after[name] - before[name] for name in after},
        "peak_bytes": peak_bytes,
        "startup_s": began_at - started_at,
        "startup_cpu_s": before["peer"] - helping,
    }


def described(servers, server):
    """Returns where and when this runs: figures of two machines do not compare."""
    def value(file, name):
        with open(file, encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith(name))

    kafka = next(part for part in "/".join(command_line(servers.broker)).split("/") if part.startswith("kafka-"))
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": setting("GIT_COMMIT"),
        "cores": os.cpu_count(),
        "processor": value("/proc/cpuinfo", "model name"),
        "memory_gib": int(value("/proc/meminfo", "MemTotal").split()[0]) / 2**20,
        "postgresql": server.execute("show server_version").fetchone()[0].split()[0],
        "kafka": kafka.removeprefix("kafka-"),
    }


def main():
    with psycopg.connect(database_url("postgres"), autocommit=True) as server:
        servers = Servers(server, setting("PEERS_BROKER"))
        pipeline = Pipeline(setting("PEERS_PROGRAM"), setting("PEERS_FOLDER"), int(setting("PEERS_REQUESTS")))
        rows = pipeline.publish()
        expected = newest_versions(setting("NYC311_KAFKA__BOOTSTRAP_SERVERS"), TOPIC)
        say(f"{rows:,} versions of {expected[0]:,} requests are in the topic")

        peers = [
            Nyc311(pipeline, "nyc311", "nyc311", "nothing of these; exactly once"),
            Peer("plain", "plain Python consumer", f"{NO_PIPELINE}; {REPEATS}"),
            Peer("spark", "Spark Structured Streaming", f"{NO_PIPELINE}; {REPEATS}"),
            Connect("connect", "Kafka Connect, JDBC sink", f"{NO_PIPELINE}; at least once, the last writer wins"),
            Peer("frames", "pandas and SQLAlchemy", f"{NO_PIPELINE}; {REPEATS}"),
        ]
        results = []
        for peer in peers:
            say(peer.title)
            result = {"peer": peer.title, "rows": rows, "leaves_out": peer.leaves_out}
            helpers = [pipeline.control.pid] if isinstance(peer, Nyc311) else []
            try:
                result |= measure(peer, server, servers, expected, helpers)
            except (OSError, RuntimeError, psycopg.Error) as problem:
                say(f"{peer.title} failed: {problem}; its log ends with\n{peer.last_lines()}")
                result["failed"] = str(problem)
            results.append(result)
            if helpers:
                end(pipeline.control)
        report.show(described(servers, server), rows, expected[0], results)
    return 1 if any("failed" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
