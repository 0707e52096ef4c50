"""What may happen to the stack, and the tables afterwards: the same each time."""

import contextlib
import json
import subprocess
import time

from stack import (
    ENVIRONMENT,
    EVERYTHING,
    SECRETS,
    api,
    as_root,
    ask_prometheus,
    begin_poll,
    compose,
    container,
    containers,
    docker,
    finish_poll,
    http,
    inspect,
    move_clock,
    run,
    secret,
    simulator,
    sql,
    tables,
    wait_for,
    wait_until_healthy,
)

# stop_grace_period of docker-compose.yml
GRACE_S = 40
DATABASE = ("exec", "-T", "postgres")
RAW, DERIVED = "nyc311.raw", "nyc311.(enriched|dead_letter)"
OURS = ("nyc311", "nyc311-enricher", "nyc311-writer")


@contextlib.contextmanager
def a_slow_source():
    """Lets each page take its time, so that a poll is under way for seconds."""
    simulator("/simulator/faults", {"kind": "slow", "delay": "1500ms"})
    try:
        yield
    finally:
        wait_for("the simulator", lambda: http("SIMULATOR", "/simulator/faults", method="DELETE"))


def disturb(body, disturbance):
    """Begins a poll, does something to the stack in the middle of it, and returns the tables once the poll has ended."""
    with a_slow_source():
        poll = begin_poll(body)
        disturbance()
    finish_poll(poll)
    return tables()


def kill():
    """Ends the process from outside, so that the engine starts it again by itself."""
    restarts = inspect("nyc311")["RestartCount"]
    as_root("kill", "-KILL", inspect("nyc311")["State"]["Pid"])
    wait_for("a restart", lambda: inspect("nyc311")["RestartCount"] > restarts)


def stop_and_start(service):
    compose("stop", service)
    assert not inspect(service)["State"]["Running"]
    compose("start", service)
    wait_until_healthy(service)


def drain():
    """Stops our container as an operator does: it ends by itself, in time, with code 0."""
    began = time.monotonic()
    docker("stop", "--time", str(GRACE_S), container("nyc311"))
    took = time.monotonic() - began
    state = inspect("nyc311")["State"]
    assert state["ExitCode"] == 0 and not state["OOMKilled"], state
    assert took < GRACE_S, took
    compose("start", "nyc311")
    wait_until_healthy("nyc311")


def owned(service, topics):
    """Returns how many partitions of some topics a process owns: only their owner measures their lag."""
    found = ask_prometheus(f'count(nyc311_consumer_lag_records{{process="{service}", topic=~"{topics}"}})')
    return int(found[0]["value"][1]) if found else 0


def cut_off():
    """Takes a process that owns partitions out of the network for longer than its session."""
    network = "nyc311-test_default"
    docker("network", "disconnect", network, container("nyc311-enricher"))
    wait_for("the partitions to move", lambda: owned("nyc311", RAW) == 5)
    docker("network", "connect", "--alias", "nyc311-enricher", network, container("nyc311-enricher"))
    wait_until_healthy("nyc311-enricher")


def everything(report, reference, clock):
    """Breaks the stack in every way that is promised to do no harm."""
    check = report.check

    def same(found):
        assert found == reference, f"{found} instead of {reference}"

    dump = SECRETS.parent / "nyc311.dump"
    with dump.open("wb") as file:
        subprocess.run(
            ["docker-compose", *DATABASE, "pg_dump", "-U", "postgres", "--format=custom", "nyc311"],
            stdout=file, stdin=subprocess.DEVNULL, env=ENVIRONMENT, check=True,
        )  # fmt: skip

    with check("make destroy deletes nothing without a yes, and everything with one"):
        assert "YES=1" in containers("destroy", code=1)
        assert tables() == reference
        run("make", "destroy", YES="1")
        assert docker("volume", "ls", "--quiet", "--filter", "name=nyc311-test") == ""
        run("make", "up")
        assert sql("select count(*) from nyc311.service_request") == "0"
    with check("a SIGKILL of our container while it fills empty tables: it comes back by itself"):
        simulator("/simulator/faults", {"kind": "malformed_row", "count": 2})
        disturb({}, kill)
        wait_until_healthy("nyc311")
    with check("the database stops while changes are written: the same tables as without all this"):
        move_clock(clock)
        same(disturb({}, lambda: stop_and_start("postgres")))
    with check("the broker stops during a poll: the same tables"):
        same(disturb(EVERYTHING, lambda: stop_and_start("kafka")))
    with check("docker stop during a poll ends in time with code 0, and the poll goes on: the same tables"):
        same(disturb(EVERYTHING, drain))
    with check("the whole stack restarts during a poll: the same tables"):
        same(disturb(EVERYTHING, lambda: compose("restart")))
    with check("make down and make up keep what is stored, and a poll under way: the same tables"):

        def down_and_up():
            run("make", "down")
            assert compose("--profile", "*", "ps", "--all", "--quiet") == ""
            run("make", "up")

        same(disturb(EVERYTHING, down_and_up))
    with check("three processes share the partitions of both topics: the same tables"):
        ENVIRONMENT["COMPOSE_PROFILES"] += ",scale"
        same(disturb(EVERYTHING, lambda: run("make", "up")))
        for service, topics, all_of_them in (("nyc311-enricher", RAW, 5), ("nyc311-writer", DERIVED, 10)):
            wait_for(
                f"{service} and nyc311 to share the partitions",
                lambda: 0 < owned(service, topics) == all_of_them - owned("nyc311", topics) < all_of_them,
            )
    with check("one of three is cut from the network during a poll and joins again: the same tables"):
        same(disturb(EVERYTHING, cut_off))
        wait_for("its partitions to come back", lambda: 0 < owned("nyc311-enricher", RAW) == 5 - owned("nyc311", RAW))
    with check("secrets can be rotated: the old token and the old password open nothing any more"):
        old_token, old_url = secret("http_token"), secret("database_url")
        for name in ("http_token", "database_password", "database_url"):
            (SECRETS / name).unlink()
        containers("secrets")
        sql(f"alter role nyc311 password '{secret('database_password')}'")
        compose("up", "--detach", "--no-build", "--wait", "--force-recreate", "--no-deps", *OURS)
        assert http("HTTP", "/v1/polls", token=old_token)[0] == 401
        assert api("/v1/polls")["polls"]
        refused = compose(*DATABASE, "psql", old_url, "-c", "select 1", code=2)
        assert "password authentication failed" in refused, refused
        same(tables())
    with check("a backup of the database brings all of it back, with a pipeline that goes on"):
        compose("stop", *OURS)
        compose(*DATABASE, "dropdb", "-U", "postgres", "nyc311")
        compose(*DATABASE, "createdb", "-U", "postgres", "--owner", "nyc311", "nyc311")
        with dump.open("rb") as file:
            subprocess.run(
                ["docker-compose", *DATABASE, "pg_restore", "-U", "postgres", "--exit-on-error", "-d", "nyc311"],
                stdin=file, env=ENVIRONMENT, check=True,
            )  # fmt: skip
        compose("start", *OURS)
        wait_until_healthy(*OURS)
        same(tables())
        finish_poll(api("/v1/polls", EVERYTHING)["id"])
        same(tables())
    with check("no secret stands in a layer of the image, in what inspect says of the containers, or in their logs"):
        secrets = [path.read_text().strip() for path in SECRETS.iterdir()]
        secrets = [text.encode() for text in [*secrets, old_token, old_url] if text]
        assert len(secrets) >= 10
        ids = compose("--profile", "*", "ps", "--all", "--quiet").split()
        said = docker("inspect", *ids, "nyc311:test") + compose("--profile", "*", "logs", "--no-color")
        assert '"event"' in said or '"level"' in said, "there are no lines of ours in the logs"
        assert not [text for text in secrets if text in said.encode()], "a secret is told"
        layers = SECRETS.parent / "image.tar"
        docker("save", "--output", layers, "nyc311:test")
        # Layers are not compressed in an archive of this engine.
        whole = layers.read_bytes()
        layers.unlink()
        assert b"usr/local/bin/nyc311" in whole
        assert not [text for text in secrets if text in whole], "a secret is in the image"
    with check("what the containers hold in memory after all this is below their limits"):
        for line in docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids).splitlines():
            print(f"       {line}")
        assert not [one for one in ids if json.loads(docker("inspect", one))[0]["State"]["OOMKilled"]]
    run("make", "destroy", YES="1")

