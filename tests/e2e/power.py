#!/usr/bin/env python3
"""Cuts the power again and again while 16 clients write (TRUST.md, R2).

The data directory is on a file system of its own in a file. The cut is ext4's shutdown without a flush of its journal: whatever was not
on disk by then is gone, as it is when the machine loses its power; nothing after it arrives. The server is killed, the file system
mounted again, and the database looked at with the checks of crash.py.

With `durability = "full"` every acknowledged write must be there. With `"relaxed"`, the known-bad control, some must be missing over the
run, else the cut is none; each must have been acknowledged less than a moment before the cut; and no batch is there by half.

    power.py [CUTS]

Needs root, loop devices and ext4; says so and ends well where they are not to be had.
"""

import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from app import App
from crash import CLIENTS, Client, Ledger, faults, prepare, snapshot

CUTS = 20
# When the cut comes, in seconds after the clients began.
LIFE = (0.1, 0.8)
# What relaxed durability may lose: 0.2 s until a sync begins, and what the sync takes. A busy machine's syncs take long.
RELAXED_SECONDS_MAX = 2.0
# From linux/fs.h: FS_IOC_SHUTDOWN, and without flushing the journal.
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    """A file system in a file, which can lose its power."""

    def __init__(self, folder):
        self.image, self.place = folder / "disk.img", folder / "disk"
        self.place.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(512 << 20)
        command("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def mount(self):
        command("mount", "-o", "loop", str(self.image), str(self.place))

    def cut(self):
        place = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(place, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(place)

    def unmount(self):
        command("umount", str(self.place))


def command(*line):
    ended = subprocess.run(line, capture_output=True, text=True)
    if ended.returncode != 0:
        raise OSError(f"{' '.join(line)}: {ended.stderr.strip()}")


class Timed(set):
    """A set that knows when each of its members came."""

    def __init__(self):
        super().__init__()
        self.times = {}

    def add(self, member):
        super().add(member)
        self.times[member] = time.monotonic()

    def before(self, moment):
        return {member for member, at in self.times.items() if at < moment}


class TimedCounts(dict):
    """Values that only grow, and when each came."""

    def __init__(self):
        super().__init__()
        self.history = []

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        self.history.append((time.monotonic(), name, value))

    def before(self, moment):
        return {name: value for at, name, value in self.history if at < moment}


class Complaints(list):
    """What went wrong, each with its time."""

    def append(self, what):
        super().append((time.monotonic(), what))


class TimedLedger(Ledger):
    def __init__(self):
        super().__init__()
        self.tags, self.batches, self.comments, self.counted = Timed(), Timed(), Timed(), TimedCounts()

    def before(self, moment):
        """What was told by then. An answer that comes while the ioctl runs is of a machine that no longer has a disk and still answers, as
        no real one does: one such write was lost in 140 cuts with full durability. A sync that began before the shutdown and ends after
        it may be told that all is well when the journal's last commit was dropped meanwhile; that is a guess, and not proved."""
        then = Ledger()
        then.tags, then.batches, then.comments = (kind.before(moment) for kind in (self.tags, self.batches, self.comments))
        then.counted, then.sent = self.counted.before(moment), dict(self.sent)
        return then


def run(durability, cuts, dice):
    """The faults that were found, and how many acknowledged writes were lost, of how many."""
    app = App("blog", {"UNDERGIRD_STORES_MAIN_DURABILITY": durability})
    disk = Disk(app.folder)
    try:
        return cut_again_and_again(app, disk, durability == "relaxed", cuts, dice)
    finally:
        if app.process and app.process.poll() is None:
            app.kill()
        disk.unmount()


def cut_again_and_again(app, disk, relaxed, cuts, dice):
    keys = app.data
    app.data = disk.place / "data"
    shutil.copytree(keys, app.data)
    app.run("migrate")
    app.start("serve")
    headers = {"authorization": f"Bearer {app.secret}", "content-type": "application/json"}
    post, author = prepare(app, headers)
    # What relaxed durability may lose must not be what the clients stand on.
    os.sync()
    clients = [Client(number, headers, post, author) for number in range(CLIENTS)]
    ledger, bad, lost, writes = Ledger(), [], 0, 0
    for cut in range(cuts):
        for client in clients:
            told, client.told = client.told, TimedLedger()
            client.told.sent.update(told.sent)
            client.retries = [] if relaxed else client.retries
            client.wrong = Complaints()
        threads = [threading.Thread(target=client.run, args=(app.url,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(dice.uniform(*LIFE))
        cut_at = time.monotonic()
        disk.cut()
        app.kill()
        for thread in threads:
            thread.join()
        disk.unmount()
        disk.mount()
        told, times = Ledger(), {}
        for client in clients:
            told.add(client.told.before(cut_at))
            for kind in (client.told.tags, client.told.batches, client.told.comments):
                times.update(kind.times)
            # What goes wrong after the cut is the cut's.
            bad += [f"cut {cut}: {what}" for at, what in client.wrong if at < cut_at]
        writes += len(told.tags) + len(told.batches) + len(told.comments)
        ledger.add(told)
        found = faults(snapshot(app, app.folder / "look"), told if relaxed else ledger)
        for fault in found:
            if not relaxed or not fault.startswith("lost"):
                bad.append(f"cut {cut}: {fault}")
                continue
            name = fault.rsplit(" ", 1)[1]
            at = times.get(name)
            if at is None:
                # A counter, which has no time of its own.
                continue
            lost += 1
            if cut_at - at > RELAXED_SECONDS_MAX:
                bad.append(f"cut {cut}: {name} was {cut_at - at:.1f} s old")
        app.start("serve")
    app.stop()
    return bad, lost, writes


def missing():
    """What this machine lacks."""
    if os.geteuid() != 0:
        return "root"
    if not Path("/dev/loop-control").exists():
        return "loop devices"
    if not shutil.which("mkfs.ext4"):
        return "mkfs.ext4"
    return None


def main():
    cuts = int(sys.argv[1]) if len(sys.argv) > 1 else CUTS
    lacking = missing()
    if lacking:
        print(f"skipped: cutting the power needs {lacking}")
        print("0 passed, 0 failed")
        return
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    print(f"seed {seed}, {cuts} cuts", flush=True)
    try:
        bad, _, writes = run("full", cuts, dice)
    except OSError as error:
        if "mount" not in str(error):
            raise
        # Containers may have the device and not the right.
        print(f"skipped: {error}")
        print("0 passed, 0 failed")
        return
    loose, lost, relaxed_writes = run("relaxed", max(cuts // 2, 5), dice)
    if not lost:
        loose.append("no write was lost: the cut takes nothing, so the other run shows nothing")
    passed = 0
    for name, wrong in [("full: every acknowledged write is there", bad), ("relaxed: the control", loose)]:
        passed += not wrong
        print(f"{'FAILED' if wrong else 'ok    '}  {name} {'; '.join(wrong[:5])}")
    print(f"{cuts} cuts: {writes} acknowledged, {len(bad)} faults; relaxed: {lost} of {relaxed_writes} lost")
    print(f"{passed} passed, {2 - passed} failed")
    sys.exit(0 if passed == 2 else 1)


if __name__ == "__main__":
    main()
