"""What processes use: CPU time and memory, as the kernel counts them."""

import os
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
LOOK_EVERY_S = 0.1


class Process:
    """One line of /proc/PID/stat."""

    def __init__(self, process):
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            # The name, in brackets, may hold blanks and brackets itself.
            fields = file.read().rpartition(")")[2].split()
        self.parent = int(fields[1])
        self.own = (int(fields[11]) + int(fields[12])) / TICKS
        self.ended_children = (int(fields[13]) + int(fields[14])) / TICKS
        self.resident = int(fields[21]) * PAGE


def processes():
    """Returns what runs now, by its id."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = Process(name)
            except OSError:
                continue  # it has ended meanwhile
    return found


def tree(root, running):
    """Returns the ids of a process and of all that came from it."""
    ids = {root} & running.keys()
    while more := {process for process, stat in running.items() if stat.parent in ids} - ids:
        ids |= more
    return ids


def cpu(roots, running, without=()):
    """Returns the seconds that the trees have used; a process that has ended is counted with its parent."""
    ids = set().union(*(tree(root, running) for root in roots)) - set(without)
    return sum(running[process].own + running[process].ended_children for process in ids)


def command_line(process):
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


class Peak(threading.Thread):
    """Watches how much memory a tree of processes holds at once."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root = root
        self.bytes = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(LOOK_EVERY_S):
            running = processes()
            held = sum(running[process].resident for process in tree(self.root, running))
            self.bytes = max(self.bytes, held)

    def end(self):
        self.over.set()
        self.join()
        return self.bytes


class Servers:
    """The processes of the database and of the broker."""

    def __init__(self, connection, broker_properties):
        data = connection.execute("select current_setting('data_directory')").fetchone()[0]
        with open(os.path.join(data, "postmaster.pid"), encoding="utf-8") as file:
            self.postmaster = int(file.readline())
        # What the runner itself asks the database is no matter of a peer.
        self.own_backends = {connection.info.backend_pid}
        ends = ["kafka.Kafka", broker_properties]
        self.broker = next(process for process in processes() if command_line(process)[-2:] == ends)

    def used(self, peers):
        """Returns the seconds of CPU that each has used until now: the peer's processes, PostgreSQL, Kafka."""
        running = processes()
        return {
            "peer": cpu(peers, running),
            "postgresql": cpu([self.postmaster], running, self.own_backends),
            "kafka": cpu([self.broker], running),
        }


def end(process):
    """Asks a child to end, and kills it where it does not."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(what, condition, seconds, every=0.1):
    """Waits for a condition and returns what it is; says what has not come where it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise TimeoutError(f"{what} did not come within {seconds} s")
