"""nyc311 itself: a simulated city polled into the raw topic once, and the worker from there to the tables."""

import json
import os
import socket
import subprocess
import urllib.request

from processes import end, wait_until


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(url, body=None):
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def answers(url):
    try:
        return ask(url)
    except OSError:
        return None


class Pipeline:
    """The simulator and the control process, which publish the rows and follow the poll."""

    def __init__(self, program, folder, rows):
        self.program = program
        self.folder = folder
        arguments = ["simulate", "--listen", "127.0.0.1:0", "--rows", str(rows), "--every-version"]
        self.simulator = self.start("simulator", arguments, {}, stdout=subprocess.PIPE)
        self.source = self.simulator.stdout.readline().decode().strip()
        self.address = f"http://127.0.0.1:{free_port()}"
        self.control = self.start("control", ["run", "--roles", "control"], self.settings("control", self.address))
        wait_until("the control process", lambda: answers(self.address + "/readyz"), 60)

    def start(self, name, arguments, settings, **more):
        with open(os.path.join(self.folder, f"nyc311-{name}.log"), "wb") as log:
            streams = {"stdout": log, "stderr": log} | more
            more = {"cwd": self.folder, "env": os.environ | settings, "stdin": subprocess.DEVNULL} | streams
            return subprocess.Popen([self.program, *arguments], **more)

    def settings(self, name, address):
        return {
            "NYC311_SOURCE__URL": self.source,
            "NYC311_HTTP__LISTEN": address.removeprefix("http://"),
            "NYC311_INSTANCE__ID": name,
        }

    def publish(self):
        """Polls the whole city into the raw topic and no further; returns how many rows there are."""
        self.poll = f"{self.address}/v1/polls/{ask(self.address + '/v1/polls', b'{}')['id']}"
        wait_until("the end of the poll", lambda: self.state() == "storing", 300)
        end(self.simulator)
        return ask(self.poll)["counts"]["published"]

    def state(self):
        return ask(self.poll)["state"]

    def worker(self):
        """Returns how to start the process that works from the raw topic to the tables."""
        settings = self.settings("worker", f"http://127.0.0.1:{free_port()}")
        return [self.program, "run", "--roles", "enricher,writer"], settings
