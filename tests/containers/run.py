"""Builds the image, starts the stack as users do, breaks it, and looks whether the tables stay what they are.

Run by scripts/test_containers, which starts the engine and makes the images that stand in here.
"""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import breaking
import dashboards
import yaml
from stack import (
    FOLDER,
    PORTS,
    SECRETS,
    Report,
    api,
    ask_prometheus,
    compose,
    container,
    docker,
    finish_poll,
    http,
    image_named,
    move_clock,
    run,
    secret,
    simulator,
    sql,
    tables,
    wait_for,
    wait_until_healthy,
)

IMAGE = "nyc311:test"
BASE = os.environ["RUNTIME_IMAGE"]
RELEASE = os.environ["PROFILE"] == "release"
MIB = 1 << 20
GRACE_S = 40
report = Report()
check = report.check


def version():
    return re.search(r'\[workspace.package\]\nversion = "(.*)"', Path("Cargo.toml").read_text()).group(1)


def the_image():
    with check("builds the image"):
        commit = run("scripts/commit").strip()
        compose("build", "nyc311", timeout=1800, VERSION=version(), GIT_COMMIT=commit)
    with check("the image says its version and commit, in its label and by the program"):
        labels = image_named(IMAGE)["Config"]["Labels"]
        told = (labels["org.opencontainers.image.version"], labels["org.opencontainers.image.revision"])
        assert told == (version(), commit), told
        said = docker("run", "--rm", IMAGE, "--version")
        assert said.startswith(f"nyc311 {version()} (commit {commit}, features: "), said
        assert "kafka-tls" in said, said
    with check("the image ends by SIGTERM, asks itself for its health and is no root's"):
        config = image_named(IMAGE)["Config"]
        assert config["StopSignal"] == "SIGTERM", config
        assert config["Healthcheck"]["Test"] == ["CMD", "nyc311", "health"], config
        assert config["User"] == "10001:10001", config
        assert config["Entrypoint"] == ["nyc311"], "there is a shell in between"
    with check("the image holds the stripped program and next to nothing else"):
        over = image_named(IMAGE)["Size"] - image_named(BASE)["Size"]
        inside = ["run", "--rm", "--entrypoint", "sh", IMAGE, "-c"]
        size = int(docker(*inside, "stat -c %s /usr/local/bin/nyc311"))
        assert over - size <= 8 * MIB, f"{(over - size) / MIB:.1f} MiB besides the program"
        # Symbols would stand in a section of this name.
        assert docker(*inside, "grep -c '\\.symtab' /usr/local/bin/nyc311 || true").strip() == "0", "not stripped"
        compilers = docker(*inside, "ls /usr/bin /usr/local/bin").split()
        assert not {"cc", "gcc", "c++", "ld", "cargo", "rustc"} & set(compilers)
        if RELEASE:
            assert over <= 60 * 1000**2, f"{over / MIB:.1f} MiB over its base"
        print(f"       {over / 1e6:.1f} MB over its base, {size / 1e6:.1f} MB of them the program")


def the_file():
    """What docker-compose.yml says, read by Compose itself without the override of this test."""
    with check("every service has an image of a version, limits, a way to say that it works, and ports for this machine alone"):
        config = json.loads(
            compose("--profile", "*", "config", "--format", "json", COMPOSE_FILE="docker-compose.yml")
        )
        assert {"airflow-scheduler", "grafana", "kafka", "nyc311-writer"} <= config["services"].keys()
        for name, service in config["services"].items():
            tag = service["image"].rpartition(":")[2]
            assert tag and tag != "latest" and "/" not in tag, service["image"]
            assert service["mem_limit"] and service["cpus"] and service["restart"], name
            assert service.get("healthcheck") or service["image"] == IMAGE or name == "airflow-init", name
            assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
            for needed, how in service.get("depends_on", {}).items():
                assert how["condition"] in ("service_healthy", "service_completed_successfully"), (name, needed)
    with check("every variable of the Compose file and of Kubernetes' manifests is a setting that the program takes"):
        told = [(name, service.get("environment", {})) for name, service in config["services"].items()]
        told += workloads()
        told = [(name, settings_of(environment)) for name, environment in told]
        told = [(name, settings) for name, settings in told if settings]
        assert len(told) >= 6, told
        for name, settings in told:
            print_config(settings, code=0)
        refused = print_config({**told[0][1], "NYC311_KAFKA__BOOTSTRAP_SERVER": "kafka:9092"}, code=78)
        assert "NYC311_KAFKA__BOOTSTRAP_SERVERS" in refused, refused
    with check("Kubernetes' manifests have the form that version 1.37 asks for, and run the image as it wants to be run"):
        validate = [Path(os.environ["PYTHON_TOOLS"]) / "kubernetes-validate", "--strict"]
        run(*validate, *manifests())
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as wrong:
            wrong.write(Path("deploy/kubernetes/writer.yaml").read_text().replace("httpGet", "httpGot"))
            wrong.flush()
            run(*validate, wrong.name, code=1)
        for document in documents("StatefulSet"):
            pod = document["spec"]["template"]["spec"]
            # Kubernetes' own variables for a service of this name begin as our settings do.
            assert pod["enableServiceLinks"] is False
            assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == "10001:10001"
            assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
            assert pod["terminationGracePeriodSeconds"] >= GRACE_S
    with check("Airflow gets its connection and its secrets from the files of the stack"):
        with tempfile.TemporaryDirectory() as folder:
            script = Path("deploy/airflow/with_secrets.sh").read_text().replace("/entrypoint", "env")
            users = Path(folder) / "users.json"
            told = run("bash", "-s", text=script, SECRETS_FOLDER=str(SECRETS),
                       AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(users))  # fmt: skip
            told = dict(line.partition("=")[::2] for line in told.splitlines())
            connection = json.loads(told["AIRFLOW_CONN_NYC311"])
            assert connection["extra"]["Authorization"] == f"Bearer {secret('http_token')}"
            assert f"{connection['host']}:{connection['port']}" == "http://nyc311:8311"
            assert json.loads(users.read_text()) == {"admin": secret("airflow_password")}
            assert secret("airflow_database_password") in told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def manifests():
    return sorted(Path("deploy/kubernetes").glob("*.yaml"))


def documents(kind):
    every = [document for path in manifests() for document in yaml.safe_load_all(path.read_text())]
    return [document for document in every if document["kind"] == kind]


def workloads():
    """Yields the variables of each workload, those of its ConfigMaps included."""
    maps = {document["metadata"]["name"]: document["data"] for document in documents("ConfigMap")}
    for document in documents("StatefulSet"):
        for inside in document["spec"]["template"]["spec"]["containers"]:
            environment = {}
            for source in inside.get("envFrom", []):
                environment.update(maps[source["configMapRef"]["name"]])
            for variable in inside.get("env", []):
                # The name of a pod stands for whatever the cluster puts in.
                environment[variable["name"]] = variable.get("value", f"{document['metadata']['name']}-0")
            yield document["metadata"]["name"], environment


def settings_of(environment):
    return {name: value for name, value in environment.items() if name.startswith("NYC311_")}


def print_config(settings, code):
    """Has the program read settings whose secrets are those of the example for Kubernetes."""
    secrets = documents("Secret")[0]["stringData"]
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        Path(folder).chmod(0o755)
        for name, value in secrets.items():
            (Path(folder) / name).write_text(value)
        variables = [word for name, value in settings.items() for word in ("--env", f"{name}={value or ''}")]
        mounts = [f"--volume={folder}:{at}:ro" for at in ("/run/secrets", "/run/nyc311-secrets")]
        # Kubernetes mounts the folder of one secret below.
        variables = [word.replace("/run/secrets/nyc311/", "/run/nyc311-secrets/") for word in variables]
        return docker("run", "--rm", *mounts, *variables, IMAGE, "run", "--print-config", code=code)


def the_start():
    with check("make up starts the stack, waits until it is ready and says where it is"):
        said = run("make", "up", timeout=600)
        assert f"127.0.0.1:{PORTS['HTTP']}" in said, said
        wait_until_healthy("nyc311")
    with check("the process is no root's, has no capability, can gain none and cannot write"):
        status = docker("exec", container("nyc311"), "cat", "/proc/1/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Name"] == "nyc311", fields["Name"]
        assert fields["Uid"].split() == ["10001"] * 4 and fields["Gid"].split() == ["10001"] * 4, fields
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(fields[capabilities], 16) == 0, (capabilities, fields[capabilities])
        assert fields["NoNewPrivs"].strip() == "1"
        for folder in ("/", "/tmp", "/var/tmp", "/usr/local/bin"):
            said = docker("exec", "--user", "0", container("nyc311"), "touch", f"{folder}/x", code=1)
            assert "Read-only file system" in said, said
    with check("without its token the control endpoint answers 401, and its metrics all the same"):
        assert http("HTTP", "/v1/polls", {})[0] == 401
        assert http("HTTP", "/metrics")[0] == 200


def the_reference():
    """Two polls that nothing disturbs; returns the hash of what they leave, and the time of the source's clock."""
    reference = clock = None
    with check("a poll by the published port fills the tables, and a later one brings what has changed"):
        simulator("/simulator/faults", {"kind": "malformed_row", "count": 2})
        finish_poll(api("/v1/polls", {})["id"])
        first = tables()
        clock = move_clock()
        finish_poll(api("/v1/polls", {})["id"])
        reference = tables()
        assert first != reference and int(sql("select count(*) from nyc311.service_request")) >= 30_000
        assert int(sql("select count(*) from nyc311.service_request_history")) > 0
        print(f"       {reference}")
    return reference, clock


def the_dashboards():
    with check("Prometheus takes its settings, each alert fires in its test, and none in a healthy hour"):
        promtool = ["run", "--rm", f"--volume={Path.cwd()}/deploy/prometheus:/p:ro", "--entrypoint", "promtool"]
        docker(*promtool, "nyc311-test/prometheus", "check", "config", "/p/prometheus.yml")
        docker(*promtool, "nyc311-test/prometheus", "test", "rules", "/p/alerts_test.yml")
        assert dashboards.tested_alerts() == dashboards.alerts().keys()
    with check("what the alerts read is there, by its name and its labels"):
        for name, expression in dashboards.alerts().items():
            ask_prometheus(expression)
            known = set()
            for metric in dashboards.metrics_of(expression):
                series = wait_for(f"{metric} of {name}", lambda: ask_prometheus(metric))
                known |= {label for one in series for label in one["metric"]}
            grouped = {label for listed in re.findall(r"by \((.*?)\)", expression) for label in listed.split(", ")}
            asked = grouped | set(re.findall(r"(\w+)=", expression))
            assert asked <= known, f"{name} asks for labels that are not there: {asked - known}"
    with check("every query of a dashboard to Prometheus brings rows"):
        seen = list(dashboards.queries("prometheus"))
        assert len(seen) >= 15
        for title, expression in seen:
            wait_for(f"rows of {title}", lambda: ask_prometheus(dashboards.in_prometheus(expression)))
    with check("every query of a dashboard to the database brings rows, to a role that cannot write"):
        seen = list(dashboards.queries("postgres"))
        assert len(seen) >= 10
        since, until = sql("select min(day), max(day) from nyc311.rollup_daily").split("|")
        for title, statement in seen:
            rows = sql(dashboards.in_postgres(statement, since, until), user="nyc311_reader")
            assert rows, f"{title} brings no rows"
        refused = compose("exec", "-T", "postgres", "psql", "-U", "nyc311_reader", "-d", "nyc311", "-c",
                          "delete from nyc311.poll", code=1)  # fmt: skip
        assert "permission denied" in refused, refused


def main():
    # What a killed run has left.
    run("scripts/containers", "destroy", YES="1")
    shutil.rmtree(SECRETS, ignore_errors=True)
    run("scripts/containers", "secrets")
    the_image()
    if report.failed:
        report.end()
    the_file()
    the_start()
    if report.failed:
        print(compose("logs", "--no-color", "--tail", "20"))
        report.end()
    reference, clock = the_reference()
    if reference is None:
        report.end()
    the_dashboards()
    breaking.everything(report, reference, clock)
    report.end()


if __name__ == "__main__":
    main()
