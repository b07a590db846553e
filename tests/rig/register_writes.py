#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""register_writes.py net|block KERNEL PROCESS: whether a driver wrote the same to its device on both sides, from QEMU's traces (memory_region_ops_write)
of both, up to the first packet (e1000e) or request (nvme). Prints the first differences, with what surrounds them; exit code 1 when there are any."""
import difflib
import re
import sys

COMMAND = re.compile(r"pci_nvme_admin_cmd .*opname '([^']+)'")
LINE = re.compile(r"memory_region_ops_write .*addr 0x([0-9a-f]+) value 0x([0-9a-f]+) size (\d+) name '([^']+)'")

LOG = "NVME_ADM_CMD_GET_LOG_PAGE"

# region, size: the memory region's name in QEMU, and its bytes.
# first: the register whose first value other than zero is the first packet or request.
# addresses: registers whose values are addresses of the driver's memory, which are the allocator's business.
# masks: bits that the device changes by itself, at its own time, and that the driver writes back as it read them.
# random: registers that get random numbers.
# elsewhere: writes that follow from interrupts, so that they lie where these came.
DEVICES = {
    # 82574L datasheet, section 10
    "net": {
        "region": "e1000e-mmio", "size": 0x20000, "first": 0x3818,
        "addresses": {0x2800, 0x2804, 0x3800, 0x3804},  # RDBAL, RDBAH, TDBAL, TDBAH
        # CTRL.RFCE and TFCE: QEMU sets them when it has found out what the cable's other end can, half a second after it was told to.
        "masks": {0x00000: 0x18000000},
        "random": set(range(0x5c80, 0x5ca8, 4)),  # RSSRK
        # IMS: a vector is on again after its poll; EITR: how often it may come, by what came until now.
        "elsewhere": lambda register, value: register == 0xe8 or register == 0xd0 and value in (0x100000, 0x200000),
    },
    # NVM Express 1.4, 3.1
    "block": {
        "region": "nvme", "size": 0x4000, "first": 0x1008,
        "addresses": {0x28, 0x2c, 0x30, 0x34},  # ASQ, ACQ
        "masks": {}, "random": set(),
        # Doorbells of the administration queue: the commands themselves are compared, and an entry is taken when its interrupt comes.
        "elsewhere": lambda register, value: register in (0x1000, 0x1004),
    },
}

# e1000e_set_rx_mode(): the multicast hash, RCTL, the other addresses, RCTL, CTRL.
MTA, RAR, RCTL, CTRL = "m", "a", "r", "c"
FILTER = re.compile(MTA + "+" + RCTL + RAR + "+" + RCTL + CTRL)


def kind(register):
    if 0x5200 <= register < 0x5400:
        return MTA
    if 0x5400 <= register < 0x5480:
        return RAR
    return {0x100: RCTL, 0: CTRL}.get(register, "-")


def without_filters(found):
    """
    How often the filter is written, and with which addresses, is the business of the network stack above the driver: the kernel's own joins its
    groups before the interface is up, our tap afterwards. Returns the writes without these, and how often it was.
    """
    kinds = "".join(kind(register) for register, _, _ in found)
    spans = [match.span() for match in FILTER.finditer(kinds)]
    for begin, end in reversed(spans):
        del found[begin:end]
    return found, len(spans)


def writes(path, device):
    """What was written until the first packet or request: [(register, value, bytes)], and NVMe's administration commands"""
    found, commands = [], []
    with open(path, encoding="utf-8", errors="replace") as trace:
        for line in trace:
            match = COMMAND.search(line)
            if match:
                commands.append(match[1])
            match = LINE.search(line)
            if not match or match[4] != device["region"]:
                continue
            register, value = int(match[1], 16) % device["size"], int(match[2], 16)
            found.append((register, value, int(match[3])))
            if register == device["first"] and value:
                return found, commands
    sys.exit(f"{path}: {len(found)} writes, and no first packet or request (register {device['first']:x})")


def lines(found, device):
    text = []
    for register, value, size in found:
        if device["elsewhere"](register, value):
            continue
        if register in device["addresses"]:
            what = "an address"
        elif register in device["random"]:
            what = "a random number"
        elif register == device["first"] and value:
            what = "the first burst"  # how many there are in it is the sender's business
        else:
            what = f"{value & ~device['masks'].get(register, 0):08x}"
        text.append(f"{register:05x} {what} ({size} bytes)")
    return text


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in DEVICES:
        sys.exit(__doc__)
    device = DEVICES[sys.argv[1]]
    sides = []
    for name, path in zip(("kernel", "process"), sys.argv[2:]):
        found, commands = writes(path, device)
        total, times = len(found), 0
        if sys.argv[1] == "net":
            found, times = without_filters(found)
        if name == "kernel" and commands.count(LOG) > 1:
            # The temperature: Debian's kernel has CONFIG_NVME_HWMON, our profile has not.
            del commands[commands.index(LOG, commands.index(LOG) + 1)]
        sides.append(lines(found, device) + commands)
        print(f"{device['region']}, {name}: {total} writes, the filter {times} times, {len(sides[-1])} compared")
    differences = list(difflib.unified_diff(*sides, "kernel", "process", n=3, lineterm=""))
    for line in differences[:100]:
        print(line)
    return 1 if differences else 0


sys.exit(main())
