"""A server of one's own: the real binary on a copy of an example, on a free port, with its own data: on the store that E2E_STORE names, or
the one of a URL.

Absent: anything about what is tested. Only the standard library, so that every suite can use it.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import stores

ROOT = Path(os.environ.get("E2E_ROOT") or Path(__file__).resolve().parents[2])
BINARY = os.environ.get("UNDERGIRD_BIN") or str(ROOT / "target/debug/undergird")
READY_SECONDS_MAX = 20


class App:
    """An application's folder, and the server on it while there is one."""

    def __init__(self, example, setting=None, url=None):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{example}-", dir=os.environ.get("E2E_SCRATCH")))
        self.example = example
        self.app = self.folder / "app"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        shutil.copytree(ROOT / "examples" / example, self.app, ignore=shutil.ignore_patterns("data"))
        # The server takes every UNDERGIRD_… for a setting; the binary's path is ours.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("UNDERGIRD_")}
        # On a server, the database is made here and goes when the server stops; one of a given URL is the giver's.
        server = None if url else stores.server()
        self.database = stores.create(server) if server else None
        where = {"UNDERGIRD_STORES_MAIN_URL": url or self.database} if url or server else {}
        self.environment = {**ours, **where, **(setting or {})}
        self.process = None
        self.url = None
        keys = json.loads(self.run("keys", "--json"))
        self.publishable, self.secret = keys["publishable_key"], keys["secret_key"]

    def run(self, command, *arguments, check=True):
        """What a command of the binary prints."""
        line = [BINARY, command, str(self.app), "--data", str(self.data), *arguments]
        ended = subprocess.run(line, capture_output=True, text=True, env=self.environment, timeout=60)
        if check and ended.returncode != 0:
            raise AssertionError(f"{' '.join(line)} ended with {ended.returncode}:\n{ended.stderr}")
        return ended.stdout

    def start(self, command="dev", *arguments):
        """Starts the server, on a free port unless arguments say otherwise, and gives the seconds until it was ready."""
        started = time.monotonic()
        arguments = arguments or ("--listen", "127.0.0.1:0")
        line = [BINARY, command, str(self.app), "--data", str(self.data), *arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, env=self.environment)
        late = threading.Timer(READY_SECONDS_MAX, self.process.kill)
        late.start()
        for said in self.process.stdout:
            if said.startswith(b"ready "):
                self.url = said.decode().split()[1]
                late.cancel()
                # What else it says is read and forgotten, so that it never waits for us.
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return time.monotonic() - started
        late.cancel()
        raise AssertionError(f"the server was never ready:\n{self.log.read_text(errors='replace')[-4000:]}")

    def kill(self):
        """Ends the process as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ends the process as an operator does."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.database:
            stores.drop(stores.server(), self.database)
            self.database = None

    def memory(self):
        """Resident bytes of the process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def peak_memory(self):
        """The most resident bytes that the process ever had."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")
