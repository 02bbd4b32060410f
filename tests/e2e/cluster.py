"""A database server of one's own that can be killed, and a wire to it that can be cut.

Durable, on a free port, in a folder that goes with it. Absent: SQL (`stores`), and what is tested. Run as a program this file is the wire: a
TCP proxy in a process of its own, so that clients' threads do not slow it.

    cluster.py TARGET_PORT ADDRESS
                                prints the port it listens on; then reads commands, a line each, and answers each with a line:
                                pass: carries bytes; hold: keeps all that comes, in both directions, until `pass`; mute: keeps what
                                the server says; reset: ends every connection with a TCP reset
"""

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_SECONDS_MAX = 60
# An address of the wire's own, so that a route can lose what is sent there.
WIRE = "127.0.0.5"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A database server of one's own. It refuses to be root, so as root it is its Debian account."""

    scheme, account_name, hostless = None, None, ""

    def __init__(self, program):
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="undergird-db-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.port = free_port()
        self.process = None
        self.account = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam(self.account_name)
            self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.password = secrets.token_hex(16)
        secret = self.folder / "secret"
        secret.write_text(self.secret())
        # The folder is its owner's alone.
        secret.chmod(0o644)
        line = self.making(secret)
        ended = subprocess.run([program(line[0]), *line[1:]], capture_output=True, text=True, cwd=self.folder, **self.account)
        if ended.returncode != 0:
            raise RuntimeError(ended.stdout + ended.stderr)

    def secret(self):
        """What its file of secrets says."""
        raise NotImplementedError

    def making(self, secret):
        """The command that makes its data."""
        raise NotImplementedError

    def serving(self):
        """The command that serves it."""
        raise NotImplementedError

    def answers(self):
        """Whether it takes questions."""
        raise NotImplementedError

    def url(self, database=""):
        return f"{self.scheme}://undergird:{self.password}@127.0.0.1:{self.port}/{database or self.hostless}"

    def url_by(self, wire, database):
        return f"{self.scheme}://undergird:{self.password}@{WIRE}:{wire.port}/{database}"

    def start(self):
        """Starts it and waits until it takes questions."""
        line = self.serving()
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen([self.program(line[0]), *line[1:]], stdout=log, stderr=log, cwd=self.folder, **self.account)
            while self.process.poll() is None and time.monotonic() < deadline:
                if self.answers():
                    return
                time.sleep(0.01)
            # Children of a killed postmaster still have its memory for a moment.
            time.sleep(0.05)
        raise RuntimeError(f"the database server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def kill(self):
        """Kills the server's first process alone, as the kernel might."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        """Ends it for good."""
        self.kill()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    """PostgreSQL, durable."""

    scheme, account_name, hostless = "postgres", "postgres", "postgres"

    def secret(self):
        return self.password

    def making(self, secret):
        return ["initdb", f"--pgdata={self.data}", "--username=undergird", f"--pwfile={secret}", "--auth=password", "--encoding=UTF8",
                "--locale=C.UTF-8", "--no-sync"]

    def serving(self):
        return ["postgres", "-D", str(self.data), "-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}",
                "-c", "unix_socket_directories=", "-c", "max_connections=200"]

    def answers(self):
        """Whether it asks for a password: while it starts it says that it does."""
        body = b"\0\3\0\0user\0undergird\0database\0postgres\0\0"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as wire:
            wire.sendall(struct.pack(">I", len(body) + 4) + body)
            return wire.recv(1) == b"R"
        return False

    def end(self):
        """What `pg_ctl stop -m immediate` does."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()


class Standby(Postgres):
    """A streaming replica of a server that runs, open for reads."""

    def __init__(self, program, primary):
        self.primary = primary
        super().__init__(program)
        self.password = primary.password

    def making(self, secret):
        place = f"host=127.0.0.1 port={self.primary.port} user=undergird password={self.primary.password}"
        return ["pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", f"--pgdata={self.data}", f"--dbname={place}"]

    def signal(self, number):
        """Sends a signal to all of its processes, the first one before those that it may make."""
        self.process.send_signal(number)
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        for child in children.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), number)


class MariaDb(Server):
    """MariaDB, durable."""

    scheme, account_name = "mysql", "mysql"

    def secret(self):
        # One statement to a line; it runs at each start.
        return (f"CREATE OR REPLACE USER 'undergird'@'%' IDENTIFIED BY '{self.password}';\n"
                "GRANT ALL PRIVILEGES ON *.* TO 'undergird'@'%' WITH GRANT OPTION;\n")

    def making(self, secret):
        return ["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--skip-test-db", "--skip-name-resolve",
                "--auth-root-authentication-method=socket"]

    def serving(self):
        return ["mariadbd", "--no-defaults", f"--datadir={self.data}", "--bind-address=127.0.0.1", f"--port={self.port}", "--socket=socket",
                "--pid-file=server.pid", "--skip-name-resolve", "--max-connections=200", f"--init-file={self.folder / 'secret'}"]

    def answers(self):
        """It speaks first, and only when its accounts are made: the protocol's version, or an error (0xff)."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as wire:
            first = wire.recv(5)
            return len(first) == 5 and first[4] == 10
        return False


class Wire:
    """The proxy's process."""

    def __init__(self, port):
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(port), WIRE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def stop(self):
        self.process.kill()
        self.process.wait()


def isolate(argv):
    """Runs this program again in a network of its own, where packets may be lost; gives whether we are in one. That takes root."""
    if os.environ.get("E2E_ISOLATED"):
        return True
    enter = [shutil.which("unshare"), "--net"]
    tools = enter[0] and shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if os.geteuid() != 0 or not tools or subprocess.run([*enter, "true"], capture_output=True).returncode != 0:
        return False
    up = f'"{tools}" link set lo up && exec "$@"'
    os.execve(enter[0], [*enter, "sh", "-c", up, "sh", sys.executable, *argv], dict(os.environ, E2E_ISOLATED=tools))


def lose(lost):
    """Loses all that is sent to the wire, or no more. TCP hears nothing of it."""
    line = ["route", "add" if lost else "del", "blackhole", f"{WIRE}/32", "table", "local"]
    subprocess.run([os.environ["E2E_ISOLATED"], *line], check=True)


async def proxy(target):
    asking, answering = asyncio.Event(), asyncio.Event()
    asking.set()
    answering.set()
    open_now = set()

    async def carry(reader, writer, flowing):
        try:
            while data := await reader.read(1 << 16):
                await flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connection(reader, writer):
        await asking.wait()
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            reset(writer)
            return
        pair = (writer, to_writer)
        open_now.add(pair)
        await asyncio.gather(carry(reader, to_writer, asking), carry(to_reader, writer, answering))
        open_now.discard(pair)

    def reset(writer):
        wire = writer.get_extra_info("socket")
        if wire and wire.fileno() >= 0:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(connection, sys.argv[2], 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).decode().strip():
        if command == "hold":
            asking.clear()
            answering.clear()
        elif command == "mute":
            answering.clear()
        elif command == "pass":
            asking.set()
            answering.set()
        elif command == "reset":
            for pair in list(open_now):
                for writer in pair:
                    reset(writer)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(proxy(int(sys.argv[1])))
