"""What the kernel knows of processes, and how to start and end them."""

import os
import pathlib
import signal
import socket
import subprocess
import time

STARTUP_SECONDS = 30
TICK_MICROSECONDS = 1e6 / os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The processes that descend from one, itself included."""
    found, waiting = [], [pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:
                pass  # Ended in the meantime.
    return found


def cpu(pids):
    """CPU time that processes have used, in microseconds: user and system, all threads, ended ones included.

    The kernel scales both to what it has counted at each switch of a thread, so their sum is right to a tick.
    """
    used = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) * TICK_MICROSECONDS
    return used


def memory(pids):
    """Memory of processes in MiB; what several share counts once (PSS)."""
    kib = 0
    for pid in pids:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        kib += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return kib / 1024


def open_files(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what, is_true):
    deadline = time.monotonic() + STARTUP_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {STARTUP_SECONDS} s until {what}")
        time.sleep(0.01)


def accepts(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0


class Process:
    """A program with all that it starts, in a session of its own; ended with the block."""

    def __init__(self, command, address, log, cwd=None, **environment):
        self.command = command
        output = open(log, "ab")
        self.child = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **environment}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )
        try:
            wait_until(f"{command[0]} accepts at {address}", lambda: self.runs() and accepts(address))
        except BaseException:
            self.end()
            raise

    def runs(self):
        if self.child.poll() is not None:
            raise ChildProcessError(f"{self.command} ended with status {self.child.returncode}")
        return True

    def pids(self):
        return tree(self.child.pid)

    def end(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
