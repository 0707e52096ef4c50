"""The stack under test: its containers, its control endpoint, its tables."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

FOLDER = Path(os.environ["FOLDER"])
# Inside the clone, so that a secret would be in the image if .dockerignore let it in.
SECRETS = FOLDER / "secrets"
# Generous: a loaded machine is no fault of the stack.
PATIENCE_S = 120


def free_port():
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


PORTS = {name: free_port() for name in ("HTTP", "SIMULATOR", "POSTGRES", "PROMETHEUS", "GRAFANA", "AIRFLOW")}
ENVIRONMENT = {
    **os.environ,
    "COMPOSE_PROJECT_NAME": "nyc311-test",
    "COMPOSE_FILE": "docker-compose.yml:tests/containers/override.yml",
    "COMPOSE_PROFILES": "demo,observability",
    # The stack of a developer has a file of settings; this one has none.
    "COMPOSE_ENV_FILES": "/dev/null",
    "IMAGE_TAG": "test",
    "SECRETS_DIR": str(SECRETS),
    "DEMO_ROWS": "30000",
    **{f"{name}_PORT": str(port) for name, port in PORTS.items()},
}


def run(*command, code=0, text=None, timeout=600, **changed):
    """Runs a command and returns its output; fails where its exit code is another than expected."""
    ended = subprocess.run(
        [str(word) for word in command],
        input=text if text is not None else "",
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**ENVIRONMENT, **changed},
        check=False,
    )
    if code is not None and ended.returncode != code:
        said = "\n".join((ended.stdout + ended.stderr).splitlines()[-15:])
        raise AssertionError(f"{' '.join(map(str, command))[:200]}: code {ended.returncode} instead of {code}\n{said}")
    return ended.stdout + (ended.stderr if code != 0 else "")


def docker(*arguments, **options):
    return run("docker", *arguments, **options)


def compose(*arguments, **options):
    return run("docker-compose", *arguments, **options)


def containers(command, **options):
    """Runs what `make up`, `make down` and `make destroy` run."""
    return run("scripts/containers", command, **options)


def container(service):
    """Returns the id of a service's container, running or not."""
    found = compose("--profile", "*", "ps", "--all", "--quiet", service).split()
    assert found, f"there is no container of {service}"
    return found[0]


def inspect(service):
    return json.loads(docker("inspect", container(service)))[0]


def image_named(name):
    return json.loads(docker("image", "inspect", name))[0]


def wait_for(what, condition, patience_s=PATIENCE_S):
    """Waits until a condition holds, which may fail meanwhile, and returns what it returned."""
    deadline = time.monotonic() + patience_s
    last = None
    while time.monotonic() < deadline:
        try:
            found = condition()
            if found:
                return found
            last = found
        except (OSError, AssertionError, ValueError, KeyError) as error:
            last = error
        time.sleep(0.2)
    raise AssertionError(f"waited {patience_s} s in vain for {what}: {last}")


def wait_until_healthy(*services):
    for service in services:
        wait_for(f"{service} to be healthy", lambda: inspect(service)["State"]["Health"]["Status"] == "healthy")


def as_root(*command):
    return run(*([] if os.geteuid() == 0 else ["sudo"]), *command)


def secret(name):
    return (SECRETS / name).read_text().strip()


def http(port, path, body=None, token=None, method=None):
    """Asks a port of the stack and returns status and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{PORTS[port]}{path}", method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def api(path, body=None):
    status, text = http("HTTP", path, body, secret("http_token"))
    assert status in (200, 202), f"{path}: {status} {text}"
    return json.loads(text)


def simulator(path, body=None):
    # It may have been started again a moment ago.
    wait_for("the simulator", lambda: http("SIMULATOR", "/healthz")[0] == 200)
    status, text = http("SIMULATOR", path, body)
    assert status == 200, f"{path}: {status} {text}"
    return json.loads(text)


def ask_prometheus(expression):
    query = urllib.parse.urlencode({"query": expression})
    answer = json.loads(http("PROMETHEUS", f"/api/v1/query?{query}")[1])
    assert answer["status"] == "success", f"{expression}: {answer}"
    return answer["data"]["result"]


def move_clock(to=None):
    """Lets time pass at the source: to a time, or three months on."""
    return simulator("/simulator/clock", {"now": to} if to else {"advance": "90days"})["now"]


# A backfill of all that there is.
EVERYTHING = {"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}


def begin_poll(body):
    """Asks for a poll by the published port, and waits until its first page is on its way."""
    poll = wait_for("the poll to be taken", lambda: api("/v1/polls", body))["id"]

    def under_way():
        state = api(f"/v1/polls/{poll}")
        assert state["state"] in ("queued", "running"), f"the poll is {state['state']} before it could be disturbed"
        return state["counts"]["fetched"] > 0

    wait_for("the first page of the poll", under_way)
    return poll


def finish_poll(poll):
    """Waits until a poll has ended, and returns it; fails where it has not succeeded."""

    def ended():
        state = api(f"/v1/polls/{poll}")
        return state if state["state"] in ("succeeded", "failed", "cancelled") else None

    state = wait_for("the end of the poll", ended, 2 * PATIENCE_S)
    assert state["state"] == "succeeded", state
    counts = state["counts"]
    arrived = counts["stored"] + counts["duplicate"] + counts["reenriched"] + counts["dead_lettered"]
    assert counts["fetched"] + counts["republished"] == arrived > 0, counts
    return state


def sql(statement, user="postgres", database="nyc311"):
    """Runs a statement inside the database's container and returns the rows as text."""
    return compose(
        "exec", "-T", "postgres", "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database,
        text=statement,
    ).strip()  # fmt: skip


# Whatever the pipeline keeps of the city, but for the clocks of its own; a cell of zeros equals none.
TABLES = """
set search_path = nyc311;
select count(*) || ' rows ' || md5(string_agg(line, '' order by line)) from (
    select 'request ' || md5((to_jsonb(r) - 'first_seen_at' - 'last_changed_at')::text) as line from service_request r
    union all select 'history ' || md5((to_jsonb(h) - 'first_seen_at')::text) from service_request_history h
    union all select 'daily ' || d::text from rollup_daily d
        where (opened, closed, closed_undated, still_open) <> (0, 0, 0, 0)
    union all select 'response ' || m::text from rollup_response_monthly m where (by_opened, by_closed) <> (0, 0)
    union all select 'quality ' || q::text from rollup_quality_daily q where requests <> 0
) as tables;
"""
WRONG_CELLS = """
set search_path = nyc311;
select count(*) from (
    (select * from rollup_daily where (opened, closed, closed_undated, still_open) <> (0, 0, 0, 0)
        except select * from rollup_daily_recount)
    union all (select * from rollup_daily_recount except select * from rollup_daily)
) as differences;
"""


def tables():
    """Returns a hash of all tables, after a look whether the rollups equal their recount."""
    wrong = sql(WRONG_CELLS)
    assert wrong == "0", f"{wrong} cells of rollup_daily differ from their recount"
    return sql(TABLES)


class Report:
    """Counts the checks and says what each took."""

    def __init__(self):
        self.passed = self.failed = 0

    @contextlib.contextmanager
    def check(self, name):
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # whatever it is, the check has failed and the others go on
            self.failed += 1
            outcome, detail = "FAILED", f"\n       {type(error).__name__}: {error}"
        else:
            self.passed += 1
            outcome, detail = "ok", ""
        print(f"{time.monotonic() - began:4.0f} s  {outcome:6} {name}{detail}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed else 0)
