# SPDX-License-Identifier: BSD-2-Clause
"""net-iperf3.py send|receive BYTES: the peer of `outboard net send` or `receive` with so many bytes, by the kernel's sockets."""
import socket
import sys
import time

PIECE = 128 << 10
OWN = ("10.7.0.1", 5001)
# Nothing here has a time limit but what it waits between two tries: the machine's clock leaps while it waits for a file. The experiment's own ends it.


def take(count):
    buffer = bytearray(PIECE)
    listener = socket.create_server(("", OWN[1]))
    connection, _ = listener.accept()
    while True:
        got = connection.recv_into(buffer)
        if not got:
            break
        count -= got
    connection.close()
    return count


def give(count):
    # The stack in the other process comes up meanwhile.
    while True:
        try:
            connection = socket.create_connection(OWN, timeout=1)
            break
        except OSError:
            time.sleep(0.1)
    connection.settimeout(None)
    while count > 0:
        count -= connection.send(bytes(min(PIECE, count)))
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(PIECE):
        pass
    return count


sys.exit(0 if (take if sys.argv[1] == "send" else give)(int(sys.argv[2])) == 0 else "net-iperf3.py: not all bytes came")
