# SPDX-License-Identifier: BSD-2-Clause
"""cuse_client.py NODE [wait]: uses an edu device's node as programs do: poll, ioctl, threads. With `wait` it polls until the node ends."""
import fcntl
import os
import select
import struct
import sys
import threading

node = sys.argv[1]

# OB_CHAR_IOCTL(): _IOWR(0xED, command, uint64_t) (include/outboard/driver.h); the commands are those of drivers/edu/edu.h
IDENT, LIVE, FACTORIAL = 0, 1, 2


def ioctl(fd, command, value):
    number = 3 << 30 | 8 << 16 | 0xED << 8 | command
    return struct.unpack("Q", fcntl.ioctl(fd, number, struct.pack("Q", value)))[0]


def ready(fd, timeout_ms):
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLOUT)
    return dict(poller.poll(timeout_ms)).get(fd, 0)


def readable(fd, timeout_ms):
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return dict(poller.poll(timeout_ms)).get(fd, 0)


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r}, not {wanted!r}")


if sys.argv[2:] == ["wait"]:
    fd = os.open(node, os.O_RDONLY)
    while os.read(fd, 100):
        pass
    print("waiting", flush=True)
    events = readable(fd, 60000)
    if not events & (select.POLLERR | select.POLLHUP):
        sys.exit(f"poll said {events:#x}")
    sys.exit(0)

one = os.open(node, os.O_RDWR)
two = os.open(node, os.O_RDWR)

# What was written before either was opened can be read by both; then there is nothing to read.
for fd in one, two:
    while os.read(fd, 100):
        pass
    expect("poll of a file that is read", ready(fd, 0), select.POLLOUT)

# Another's write wakes who waits, and gives him the reply.
woken = []
waiter = threading.Thread(target=lambda: woken.append(readable(two, 30000)))
waiter.start()
os.write(one, b"8\n")
waiter.join()
expect("poll that waited", woken, [select.POLLIN])
expect("its reply", os.read(two, 100), b"40320\n")
expect("the writer's", os.read(one, 100), b"40320\n")
expect("and no more", os.read(one, 100), b"")
expect("poll after that", ready(one, 0), select.POLLOUT)

expect("identification", ioctl(one, IDENT, 0) & 0xFFFF, 0xED)
expect("liveness", ioctl(one, LIVE, 0x12345678), 0xEDCBA987)
expect("factorial", ioctl(one, FACTORIAL, 6), 720)
for command, value, error in ((FACTORIAL, 13, 34), (77, 0, 25)):
    try:
        ioctl(one, command, value)
        sys.exit(f"command {command} with {value} was taken")
    except OSError as e:
        expect("errno", e.errno, error)
try:
    fcntl.ioctl(one, 0x5401, b"\0" * 64)  # TCGETS
    sys.exit("it says that it is a terminal")
except OSError as e:
    expect("errno", e.errno, 25)

# Many at once: each gets the factorial of its own number.
factorial = [1]
for i in range(1, 13):
    factorial.append(factorial[-1] * i)
wrong = []


def work(i):
    fd = os.open(node, os.O_RDWR)
    for k in range(50):
        number = (i + k) % 13
        os.write(fd, b"%d\n" % number)
        got = os.read(fd, 100)
        if got != b"%d\n" % factorial[number]:
            wrong.append((number, got))
    os.close(fd)


threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
expect("wrong replies", wrong, [])
