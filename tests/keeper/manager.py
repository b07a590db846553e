#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""manager.py OUTBOARD SCENARIO: plays the part of systemd for a keeper: sd_notify(3), sd_listen_fds(3), the descriptor store."""

import array
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 120  # only what hangs takes so long
FIRST_FD = 3


class Manager:
    """A socket to which a service speaks, and what it has given."""

    def __init__(self, outboard):
        self.outboard = outboard
        self.dir = tempfile.TemporaryDirectory()  # until the end of this object
        self.path = os.path.join(self.dir.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.store = []  # name, descriptor; the newest first, as systemd has them
        self.said = []   # all assignments but those of the store
        self.process = None
        self.unread = 0

    def start(self, arguments, watchdog_us=0):
        """The service, with what is in the store."""
        env = dict(os.environ, NOTIFY_SOCKET=self.path)
        if watchdog_us:
            env["WATCHDOG_USEC"] = str(watchdog_us)
        command = [self.outboard, "run", *arguments]
        if self.store:
            env["LISTEN_FDS"] = str(len(self.store))
            env["LISTEN_FDNAMES"] = ":".join(name for name, fd in self.store)
            # Their numbers are fixed, and the pid is the service's own.
            moves = " ".join(f"{FIRST_FD + i}<&{fd}" for i, (_, fd) in enumerate(self.renumbered()))
            command = ["bash", "-c", f'export LISTEN_PID=$$; exec "$@" {moves}', "service", *command]
        self.process = subprocess.Popen(command, env=env, pass_fds=[fd for _, fd in self.store], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)

    def renumbered(self):
        """Above all targets, so that no redirection hides a later one's source."""
        high = FIRST_FD + len(self.store) + 32
        self.store = [(name, self.move(fd, high)) for name, fd in self.store]
        return self.store

    @staticmethod
    def move(fd, high):
        if fd >= high:
            return fd
        import fcntl
        new = fcntl.fcntl(fd, fcntl.F_DUPFD, high)
        os.close(fd)
        return new

    def receive(self, timeout):
        """One message; False when there is none in time."""
        self.socket.settimeout(timeout)
        try:
            text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
        except (socket.timeout, BlockingIOError):
            return False
        fds = array.array("i")
        for level, kind, data in control:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(data)
        lines = text.decode().split("\n")
        name = [line[7:] for line in lines if line.startswith("FDNAME=")]
        if "FDSTOREREMOVE=1" in lines:
            assert not fds
            for entry in [e for e in self.store if e[0] == name[0]]:
                os.close(entry[1])
                self.store.remove(entry)
        elif "FDSTORE=1" in lines:
            assert len(fds) == 1 and len(name) == 1 and "FDPOLL=0" in lines
            assert not any(e[0] == name[0] for e in self.store), "two of one name"
            self.store.insert(0, (name[0], fds[0]))
        else:
            assert not fds
            self.said += lines
        return True

    def wait_for(self, what):
        """Until a line begins with it; returns the line. What was said before is no answer."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            while self.unread < len(self.said):
                self.unread += 1
                if self.said[self.unread - 1].startswith(what):
                    return self.said[self.unread - 1]
            assert self.process.poll() is None, f"it ended with {self.process.returncode} while {what} was waited for"
            self.receive(1)
        raise AssertionError(f"{what} is not said")

    def kill(self):
        self.process.kill()
        self.process.wait()
        while self.receive(0):
            pass

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.wait_for("STOPPING=1")
        return self.process.wait(PATIENCE)

    def state(self):
        out = subprocess.run([self.outboard, "show", str(self.process.pid), "--json"], stdout=subprocess.PIPE, check=True, text=True)
        return json.loads(out.stdout)

    def announced(self):
        """The line that says what was attached as what."""
        return self.process.stdout.readline()


DISK = ["qemu:nvme,null=1M", "--attach", "nbd", "--restart", "on-failure,heartbeat=5000,backoff=0"]


def port_of(line):
    return int(line.split("nbd://127.0.0.1:")[1].split()[0])


def life(m):
    m.start(DISK)
    m.wait_for("READY=1")
    status = m.wait_for("STATUS=")
    keeper = m.state()["keeper"]
    assert f"driver process {keeper['driver_pid']}, number 1; 0 died" in status, status
    os.kill(keeper["driver_pid"], signal.SIGKILL)
    while "number 2; 1 died" not in m.wait_for("STATUS="):
        pass
    assert m.stop() in (0, 128 + signal.SIGINT)
    # But for the last, with which it asks for time, nobody wanted it.
    assert m.said.count("WATCHDOG=1") == 1, m.said


def below(m):
    """COMMAND is not to believe that it was meant."""
    m.start([*DISK, "-q", "--", "sh", "-c", 'echo "<$NOTIFY_SOCKET$LISTEN_FDS$LISTEN_PID$LISTEN_FDNAMES$WATCHDOG_USEC>"'], watchdog_us=60000000)
    m.wait_for("READY=1")
    assert m.announced() == "<>\n"
    assert m.process.wait(PATIENCE) == 0


def watchdog(m):
    m.start(DISK, watchdog_us=1000000)
    m.wait_for("READY=1")
    for _ in range(5):
        m.wait_for("WATCHDOG=1")
    # A driver process that hangs is the keeper's business, not a reason to kill the keeper.
    os.kill(m.state()["keeper"]["driver_pid"], signal.SIGSTOP)
    before = m.said.count("WATCHDOG=1")
    while "number 2" not in m.wait_for("STATUS="):
        pass
    assert m.said.count("WATCHDOG=1") - before >= 3
    m.process.send_signal(signal.SIGSTOP)
    while m.receive(1.5):
        pass
    assert not m.receive(1.5), "it is alive, though stopped"
    m.process.send_signal(signal.SIGCONT)
    m.wait_for("WATCHDOG=1")
    m.stop()


def handshake(sock):
    sock.settimeout(PATIENCE)
    return sock.recv(8) == b"NBDMAGIC"


def wait_for_store(m, n):
    until = time.monotonic() + PATIENCE
    while len(m.store) < n and time.monotonic() < until:
        m.receive(1)
    assert len(m.store) >= n, m.store


def in_store(m):
    """Until nothing more is given: a record is the last of an entry."""
    wait_for_store(m, 2)
    while m.receive(0.3):
        pass


def socket_(m):
    m.start(DISK)
    m.wait_for("READY=1")
    port = port_of(m.announced())
    in_store(m)
    with socket.create_connection(("127.0.0.1", port)) as s:
        assert handshake(s)
    m.kill()
    waiting = socket.create_connection(("127.0.0.1", port))  # the store listens
    m.start(DISK)
    m.wait_for("READY=1")
    assert port_of(m.announced()) == port
    assert handshake(waiting)
    # Its driver processes find it, too.
    os.kill(m.state()["keeper"]["driver_pid"], signal.SIGKILL)
    while "number 2" not in m.wait_for("STATUS="):
        pass
    with socket.create_connection(("127.0.0.1", port)) as s:
        assert handshake(s)
    assert m.stop() in (0, 128 + signal.SIGINT)


def strange(m):
    m.start(DISK)
    m.wait_for("READY=1")
    port = port_of(m.announced())
    in_store(m)
    m.kill()
    listening = [e for e in m.store if not e[0].endswith(".m")]
    assert len(listening) == 1
    # A descriptor is missing, another's record is garbage, one is not ours at all.
    m.store.remove(listening[0])
    os.close(listening[0][1])
    garbage = tempfile.TemporaryFile()
    garbage.write(b"outboard-kept-1\0" * 200)
    garbage.flush()
    m.store.append(("ob-0000000000000000.m", os.dup(garbage.fileno())))
    m.store.append(("foreign", os.dup(garbage.fileno())))
    m.start(DISK)
    m.wait_for("READY=1")
    # What was not whole is made anew.
    assert port_of(m.announced()) != port
    m.stop()


def interface(m):
    name = f"obt{os.getpid() % 1000000}"
    card = ["qemu:e1000e,netdev=user", "--attach", f"tap,name={name},address=10.99.77.1/24", "--restart", "on-failure,heartbeat=5000,backoff=0"]

    def link():
        out = subprocess.run(["ip", "-j", "address", "show", "dev", name], stdout=subprocess.PIPE, check=True, text=True)
        entry = json.loads(out.stdout)[0]
        return entry["ifindex"], sorted(a["local"] for a in entry["addr_info"] if a["family"] == "inet")

    m.start(card)
    m.wait_for("READY=1")
    in_store(m)
    subprocess.run(["ip", "address", "add", "10.99.78.1/24", "dev", name], check=True)
    before = link()
    assert len(before[1]) == 2
    m.kill()
    assert link() == before, "it went with the keeper"
    m.start(card)
    m.wait_for("READY=1")
    assert link() == before, "another one"
    m.stop()
    for _, fd in m.store:
        os.close(fd)
    m.store = []
    assert subprocess.run(["ip", "link", "show", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode, "it stays for ever"


def main():
    m = Manager(sys.argv[1])
    scenario = {"life": life, "below": below, "watchdog": watchdog, "socket": socket_, "strange": strange, "interface": interface}[sys.argv[2]]
    try:
        scenario(m)
    finally:
        if m.process and m.process.poll() is None:
            m.process.send_signal(signal.SIGCONT)
            m.kill()
        print("\n".join(m.said))


main()
