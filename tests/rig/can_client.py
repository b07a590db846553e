#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
#
# can_client.py WHAT NODE INTERFACE: frames between a CAN card of ours, by its node, and one of the kernel's on the same bus, by SocketCAN
# (Documentation/networking/can.rst). WHAT: from (the kernel to us), to, many, waits.
import errno
import os
import select
import signal
import socket
import struct
import sys

what, node, interface = sys.argv[1:]
FRAME = struct.Struct("=IB3x8s")
kernel = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
kernel.bind((interface,))
kernel.settimeout(20)

# A line of ours, and the kernel's identifier and data.
KINDS = [
    ("123#DEADBEEF", 0x123, bytes.fromhex("DEADBEEF")),
    ("000#", 0, b""),
    ("7FF#0102030405060708", 0x7FF, bytes(range(1, 9))),
    ("00000123#11", 0x123 | socket.CAN_EFF_FLAG, b"\x11"),
    ("1FFFFFFF#0011", 0x1FFFFFFF | socket.CAN_EFF_FLAG, b"\0\x11"),
    # QEMU's SJA1000 keeps bytes for the length that a remote frame asks for, which no driver takes: it asks for none.
    ("456#R", 0x456 | socket.CAN_RTR_FLAG, 0),
    ("00012345#R", 0x12345 | socket.CAN_EFF_FLAG | socket.CAN_RTR_FLAG, 0),
]


def packed(number, data):
    return FRAME.pack(number, data if isinstance(data, int) else len(data), b"" if isinstance(data, int) else data)


def lines(fd, count):
    text = b""
    while text.count(b"\n") < count:
        ready, _, _ = select.select([fd], [], [], 20)
        assert ready, "nothing came after %r" % text
        piece = os.read(fd, 7)
        assert piece, "the end came after %r" % text
        text += piece
    return text.decode().split("\n")[:-1]


def expect_equal(got, want):
    assert got == want, "got %r, not %r" % (got, want)


ours = os.open(node, os.O_RDWR)
if what == "from":
    for _, number, data in KINDS:
        kernel.send(packed(number, data))
    expect_equal(lines(ours, len(KINDS)), [line for line, _, _ in KINDS])
elif what == "to":
    text = "".join(line + "\n" for line, _, _ in KINDS).encode()
    expect_equal(os.write(ours, text), len(text))
    for line, number, data in KINDS:
        expect_equal(kernel.recv(FRAME.size), packed(number, data))
elif what == "many":
    # Not faster than they are read: the bus has no flow control, and the kernel's queue of each interface is ten long.
    for first in range(0, 1000, 50):
        for i in range(first, first + 50):
            os.write(ours, b"%03X#%04X\n" % (i, i))
            expect_equal(kernel.recv(FRAME.size), packed(i, struct.pack(">H", i)))
        for i in range(first, first + 8):
            kernel.send(packed(i, struct.pack(">H", i)))
        expect_equal(lines(ours, 8), ["%03X#%04X" % (i, i) for i in range(first, first + 8)])
else:
    assert not select.select([ours], [], [], 0.3)[0], "it is readable, and nothing came"
    busy = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.read(busy, 100)
        sys.exit("a read that does not wait got something")
    except OSError as error:
        expect_equal(error.errno, errno.EAGAIN)

    class Alarm(Exception):
        pass

    def rings(number, frame):
        raise Alarm

    signal.signal(signal.SIGALRM, rings)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        os.read(ours, 100)
        sys.exit("a read got something")
    except Alarm:
        pass
    child = os.fork()
    if not child:
        os._exit(0 if os.read(ours, 100) == b"321#33\n" else 1)
    select.select([], [], [], 0.3)
    kernel.send(packed(0x321, b"\x33"))
    expect_equal(os.waitpid(child, 0)[1], 0)
    kernel.send(packed(0x322, b"\x34"))
    assert select.select([busy], [], [], 20)[0], "poll does not tell"
    expect_equal(os.read(busy, 100), b"322#34\n")
