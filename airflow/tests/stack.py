"""A whole Airflow: api-server, scheduler, dag-processor and triggerer, each a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from world import PATIENCE_S, free_port, wait_until

AIRFLOW = Path(__file__).resolve().parents[1]
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
ENDED = ("success", "failed")


class Stack:
    """Runs from the construction on; `end` ends all of its processes."""

    def __init__(self, home: Path, connection: str) -> None:
        self.home = home
        self.port = free_port()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "NYC311_"))
        } | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(AIRFLOW / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of-the-tests-" + "0" * 64,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
            "AIRFLOW_CONN_NYC311": connection,
            # The simulated city's last day lies in the past, and what is polled is there within a moment.
            "AIRFLOW_NYC311_FRESHNESS_HOURS": "none",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        subprocess.run(
            ["airflow", "db", "migrate"], env=self.environment, check=True, capture_output=True, cwd=home
        )
        self.processes = [self._start(component) for component in COMPONENTS]
        wait_until("Airflow is healthy", self.healthy, PATIENCE_S * 2)
        self.token = self._ask("GET", "/auth/token")["access_token"]

    def _start(self, component: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{component}.log").open("wb") as log:
            return subprocess.Popen(
                ["airflow", component],
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd=self.home,
                # In a group of its own: the workers of a component end with it.
                start_new_session=True,
            )

    def healthy(self) -> bool:
        health = self._ask("GET", "/api/v2/monitor/health")
        return all(
            health[name]["status"] == "healthy"
            for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
        )

    def _ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            if refused.code >= 500:
                raise ConnectionError(f"{path} answered {refused.code}") from refused
            raise AssertionError(
                f"{method} {path} answered {refused.code}: {refused.read().decode()}"
            ) from refused

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self._ask(method, f"/api/v2/{path}", body, self.token)

    def unpause(self, dag_id: str) -> None:
        wait_until(
            f"{dag_id} is known", lambda: dag_id in {dag["dag_id"] for dag in self.ask("GET", "dags")["dags"]}
        )
        self.ask("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, **params: Any) -> str:
        """Triggers a run, and returns its id."""
        run = self.ask("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": params})
        return run["dag_run_id"]

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return self.ask("GET", f"dags/{dag_id}/dagRuns?limit=100")["dag_runs"]

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Returns the states of a run's tasks."""
        found = self.ask("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {f"{task['task_id']}/{task['map_index']}": task["state"] for task in found}

    def ended(self, dag_id: str, run_id: str) -> str:
        """Waits for the end of a run, and returns its state."""
        return wait_until(
            f"{dag_id} {run_id} has ended",
            lambda: (state := self.ask("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]) in ENDED and state,
            PATIENCE_S * 2,
        )

    def end(self) -> None:
        for process in self.processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)
