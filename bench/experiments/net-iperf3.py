# SPDX-License-Identifier: BSD-2-Clause
"""net-iperf3.py take | give BYTES: the peer of `outboard net`, by the kernel's sockets: takes all that anyone sends, or sends so many bytes."""
import socket
import sys
import time

PIECE = 128 << 10
OWN = ("10.7.0.1", 5001)
# Nothing here has a time limit but what it waits between two tries: the machine's clock leaps while it waits for a file. The experiment's own ends it.


def take():
    buffer = bytearray(PIECE)
    listener = socket.create_server(("", OWN[1]))
    while True:
        connection, _ = listener.accept()
        while connection.recv_into(buffer):
            pass
        connection.close()


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


if sys.argv[1] == "give":
    give(int(sys.argv[2]))
else:
    take()
