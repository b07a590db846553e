# SPDX-License-Identifier: BSD-2-Clause
#
# For gdb(1), in a process that runs a Linux driver, or in its core file: what the kernel in it knows, by the commands ob-dmesg, ob-ps, ob-fiber,
# ob-devices and ob-timers, and pointers to the kernel's common structures printed with what they point to. linux/build puts a copy
# beside each object, where gdb finds it. Changes nothing but, for a moment, registers. docs/linux-debugging.md.
#
# Layouts are those of debug information; what is named here by hand is the same in 6.1, 6.12 and 7.2 unless said.
import re

import gdb


def look_up(name):
    """A variable of the kernel's, static or not; None when the object has none of that name."""
    symbol = gdb.lookup_static_symbol(name)
    if symbol is not None and symbol.is_variable:
        return symbol.value()
    try:
        return gdb.parse_and_eval(name)
    except gdb.error:
        return None


def variable(name):
    value = look_up(name)
    if value is None:
        raise gdb.GdbError("no '%s': no Linux driver is loaded in this process" % name)
    return value


def members(head, type_name, member):
    """Each structure in a list of the kernel's whose entries are its @member."""
    kind = gdb.lookup_type(type_name)
    # The path may have dots, as in "kobj.entry".
    offset, inner = 0, kind
    for part in member.split("."):
        field = next(f for f in inner.fields() if f.name == part)
        offset += field.bitpos // 8
        inner = field.type.strip_typedefs()
    entry = head["next"]
    for _ in range(100000):
        if int(entry) == int(head.address):
            return
        yield gdb.Value(int(entry) - offset).cast(kind.pointer()).dereference()
        entry = entry["next"]
    raise gdb.GdbError("a list without an end at 0x%x" % int(head.address))


def text(value):
    """A string of C's: char * or char[]. What is broken is said, not followed."""
    try:
        if value.type.code == gdb.TYPE_CODE_PTR and not int(value):
            return "-"
        return value.string(errors="replace", length=-1).split("\0")[0]
    except gdb.error:
        return "?"


def function(pc):
    """'e1000_clean+0x12 at netdev.c:2673' of an address of code."""
    name = gdb.execute("info symbol 0x%x" % pc, to_string=True).split(" in section")[0].strip()
    if name.startswith("No symbol"):
        name = "0x%x" % pc
    name = name.replace(" + ", "+")
    place = gdb.find_pc_line(pc)
    if place.symtab:
        # Without the folder of links in which it was compiled.
        name += " at %s:%d" % (re.sub("^.*/farm/[^/]*/", "", place.symtab.filename), place.line)
    return name


def word(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


# ---- fibers ----------------------------------------------------------------------------


def tasks():
    """The idle task and all that hang on it."""
    first = variable("init_task")
    yield first
    for task in members(first["tasks"], "struct task_struct", "tasks"):
        yield task


def stack_of(task):
    low = int(task["stack"])
    # All have the size of the first, which lies between two symbols of the linker script (asm-generic/vmlinux.lds.h, INIT_TASK_DATA).
    for end in ("__end_init_stack", "__end_init_task"):  # since 6.10, and before
        try:
            return low, low + int(gdb.parse_and_eval("(unsigned long)&%s - (unsigned long)&init_stack" % end))
        except gdb.error:
            pass
    raise gdb.GdbError("no symbol says how large a kernel's stack is")


def thread_on(task):
    """The thread of the process that runs on its stack; None when the processor is outside of the kernel, or with another fiber."""
    if int(task.address) != int(variable("outboard_current")):
        return None
    low, high = stack_of(task)
    selected, found = gdb.selected_thread(), None
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        if low <= int(gdb.newest_frame().read_register("rsp")) < high:
            found = thread
    selected.switch()
    return found


def registers_of(task):
    """(pc, sp, fp) of a fiber as outboard_switch() left them."""
    sp = int(task["thread"]["sp"])
    # The idle task's are elsewhere while the host's thread is outside of the kernel (arch/kernel/process.c).
    if int(task.address) == int(variable("outboard_current")):
        sp = int(variable("idle_sp"))
    low, high = stack_of(task)
    if not low <= sp < high - 56:
        return None
    # Five registers lie above the stack pointer, then the frame pointer and the return address.
    return word(sp + 48), sp + 56, word(sp + 40)


class Registers:
    """For a while the selected thread's registers are those of a fiber that sleeps."""

    def __init__(self, registers):
        pc, sp, fp = registers
        self.fiber = (("rbp", fp), ("rsp", sp), ("rip", pc))

    def __enter__(self):
        gdb.newest_frame().select()
        self.thread = [(name, int(gdb.parse_and_eval("$" + name))) for name, _ in self.fiber]
        self.set(self.fiber)

    def __exit__(self, *unused):
        gdb.newest_frame().select()
        self.set(self.thread)

    @staticmethod
    def set(registers):
        for name, value in registers:
            gdb.execute("set $%s = 0x%x" % (name, value))


def frames(depth):
    """Addresses of code of the selected thread, innermost first, without what was inlined."""
    frame, back = gdb.newest_frame(), 0
    while frame is not None and depth and int(frame.pc()):
        # Of a caller the call, not what is behind it.
        if frame.type() != gdb.INLINE_FRAME:
            yield int(frame.pc()) - back
            back, depth = 1, depth - 1
        frame = frame.older()


def walk(task, depth=32):
    """Where a fiber is: addresses of code, innermost first."""
    thread = thread_on(task)
    if thread is not None:
        selected = gdb.selected_thread()
        thread.switch()
        found = list(frames(depth))
        selected.switch()
        return found
    registers = registers_of(task)
    if not registers:
        return []
    try:
        with Registers(registers):
            return list(frames(depth))
    except gdb.error:
        # A core file has no registers to set; there frame pointers lead on, as far as code keeps them.
        return list(chain(task, registers, depth))


def chain(task, registers, depth):
    pc, _, fp = registers
    low, high = stack_of(task)
    while depth and pc:
        yield pc - 1
        if not low <= fp <= high - 16:
            return
        pc, caller = word(fp + 8), word(fp)
        fp, depth = (caller if caller > fp else 0), depth - 1


STATES = ((0x1, "S"), (0x2, "D"), (0x4, "T"), (0x10, "X"), (0x20, "Z"), (0x400, "I"))


def state_of(task):
    if int(task.address) == int(variable("outboard_current")):
        return "*"
    state = int(task["__state"])
    # include/linux/sched.h: TASK_IDLE is TASK_UNINTERRUPTIBLE that does not count as load, TASK_NOLOAD.
    if state & 0x402 == 0x402:
        return "I"
    return next((letter for bit, letter in STATES if state & bit), "R")


class Ps(gdb.Command):
    """ob-ps [NAME]: the kernel's fibers, or those with NAME in theirs, and where each of them is.

The letter is as in ps(1): * runs, R could run, S and D sleep, I has nothing to do."""

    def __init__(self):
        super().__init__("ob-ps", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        for task in tasks():
            name = text(task["comm"])
            if argument.strip() not in name:
                continue
            gdb.write("%4d %s %s\n" % (int(task["pid"]), state_of(task), name))
            for pc in walk(task):
                gdb.write("       %s\n" % function(pc))


class Fiber(gdb.Command):
    """ob-fiber PID [COMMAND]: COMMAND (bt) of gdb's as if the kernel's fiber PID were running.

Sets the thread's registers for that, and puts them back: a process only, no core file."""

    def __init__(self):
        super().__init__("ob-fiber", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words or not words[0].isdigit():
            raise gdb.GdbError("ob-fiber PID [COMMAND]; ob-ps shows which there are")
        task = next((t for t in tasks() if int(t["pid"]) == int(words[0])), None)
        if task is None:
            raise gdb.GdbError("there is no fiber %s" % words[0])
        command = words[1] if len(words) > 1 else "bt"
        if thread_on(task) is not None:
            raise gdb.GdbError("fiber %s is what a thread runs: see 'thread apply all bt'" % words[0])
        registers = registers_of(task)
        if not registers:
            raise gdb.GdbError("fiber %s has no stack" % words[0])
        with Registers(registers):
            gdb.execute(command)


# ---- the log ---------------------------------------------------------------------------


class Dmesg(gdb.Command):
    """ob-dmesg [TEXT]: the kernel's log, or the lines with TEXT, with those that are not yet printed."""

    def __init__(self):
        super().__init__("ob-dmesg", gdb.COMMAND_DATA)

    # Documentation/core-api/printk-index.rst has nothing on it: kernel/printk/printk_ringbuffer.h describes the rings.
    def invoke(self, argument, from_tty):
        ring = variable("prb").dereference()
        descs, data = ring["desc_ring"], ring["text_data_ring"]
        count = 1 << int(descs["count_bits"])
        size = 1 << int(data["size_bits"])
        first, last = (int(descs[n]["counter"]) for n in ("tail_id", "head_id"))
        memory = gdb.selected_inferior().read_memory(int(data["data"]), size).tobytes()
        for number in range(first, last + 1):
            desc = descs["descs"][number % count]
            info = descs["infos"][number % count]
            # The two highest bits: 1 committed, 2 finalized.
            if int(desc["state_var"]["counter"]) >> 62 & 3 not in (1, 2):
                continue
            begin, end = (int(desc["text_blk_lpos"][n]) for n in ("begin", "next"))
            # A record without text has odd positions; one that would wrap starts at the ring's beginning.
            if begin & 1:
                continue
            at = begin % size if begin // size == (end - 1) // size else 0
            line = memory[at + 8 : at + 8 + int(info["text_len"])].decode(errors="replace")
            if argument not in line:
                continue
            ns = int(info["ts_nsec"])
            gdb.write("[%5d.%06d] <%d> %s\n" % (ns // 10**9, ns // 1000 % 10**6, int(info["level"]), line))


# ---- devices and timers ----------------------------------------------------------------


def name_of(pointer, *path):
    for part in path[:-1]:
        if not int(pointer):
            return "-"
        pointer = pointer[part]
    return text(pointer[path[-1]]) if int(pointer) else "-"


def device_name(dev):
    name = text(dev["init_name"])
    return name if name != "-" else text(dev["kobj"]["name"])


class Devices(gdb.Command):
    """ob-devices [TEXT]: the kernel's devices (or those with TEXT in their line): name, bus or class, driver, parent, and address."""

    def __init__(self):
        super().__init__("ob-devices", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        gdb.write("%-24s %-14s %-14s %-20s %s\n" % ("NAME", "BUS OR CLASS", "DRIVER", "PARENT", "struct device *"))
        kset = variable("devices_kset").dereference()
        for dev in members(kset["list"], "struct device", "kobj.entry"):
            kind = name_of(dev["bus"], "name")
            if kind == "-":
                kind = name_of(dev["class"], "name")
            parent = device_name(dev["parent"]) if int(dev["parent"]) else "-"
            line = "%-24s %-14s %-14s %-20s 0x%x\n" % (
                device_name(dev), kind, name_of(dev["driver"], "name"), parent, int(dev.address))
            if argument in line:
                gdb.write(line)


def tree(node):
    """The nodes of a tree of the kernel's, in order, without recursion."""
    path = []
    while int(node) or path:
        while int(node):
            path.append(node)
            node = node["rb_left"]
        node = path.pop()
        yield node
        node = node["rb_right"]


class Timers(gdb.Command):
    """ob-timers: the kernel's timers that run: those of jiffies and those of nanoseconds, with the function of each."""

    def __init__(self):
        super().__init__("ob-timers", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        now = int(variable("jiffies_64"))
        found = []
        bases = variable("timer_bases")
        for b in range(bases.type.range()[1] + 1):
            vectors = bases[b]["vectors"]
            for v in range(vectors.type.range()[1] + 1):
                node = vectors[v]["first"]
                while int(node):
                    # Its first member is the entry.
                    timer = node.cast(gdb.lookup_type("struct timer_list").pointer())
                    found.append((int(timer["expires"]) - now, int(timer["function"]), int(timer)))
                    node = node["next"]
        gdb.write("now is jiffies %d\n" % now)
        for left, what, timer in sorted(found):
            gdb.write("%8d jiffies  0x%x  %s\n" % (left, timer, function(what)))
        bases = variable("hrtimer_bases")
        for b in range(bases["clock_base"].type.range()[1] + 1):
            base = bases["clock_base"][b]
            for node in tree(base["active"]["rb_root"]["rb_root"]["rb_node"]):
                timer = node.cast(gdb.lookup_type("struct hrtimer").pointer())
                gdb.write("at %d ns of clock %d  0x%x  %s\n" % (
                    int(timer["node"]["expires"]), int(base["clockid"]), int(timer), function(int(timer["function"]))))


# ---- pointers with what they point to --------------------------------------------------


def mac(address, n=6):
    return ":".join("%02x" % int(address[i]) for i in range(n))


def of_skb(skb):
    return "%d bytes%s, dev %s" % (
        int(skb["len"]), " (%d in pages)" % int(skb["data_len"]) if int(skb["data_len"]) else "", name_of(skb["dev"], "name"))


def of_net(net):
    return "%s, %s, mtu %d, %s" % (
        text(net["name"]), mac(net["dev_addr"]), int(net["mtu"]), "up" if int(net["flags"]) & 1 else "down")


def of_pci(pci):
    return "%s, %04x:%04x, driver %s" % (
        device_name(pci["dev"]), int(pci["vendor"]), int(pci["device"]), name_of(pci["driver"], "name"))


def of_task(task):
    return "%d %s" % (int(task["pid"]), text(task["comm"]))


def of_device(dev):
    return device_name(dev)


def of_work(work):
    return function(int(work["func"]))


def of_bio(bio):
    return "sector %d, %d bytes, op %d" % (
        int(bio["bi_iter"]["bi_sector"]), int(bio["bi_iter"]["bi_size"]), int(bio["bi_opf"]) & 0xFF)


POINTERS = {
    "sk_buff": of_skb,
    "net_device": of_net,
    "pci_dev": of_pci,
    "task_struct": of_task,
    "device": of_device,
    "work_struct": of_work,
    "bio": of_bio,
}


class Pointer:
    def __init__(self, value, tell):
        self.value, self.tell = value, tell

    def to_string(self):
        address = int(self.value)
        if not address:
            return "0x0"
        try:
            return "0x%x <%s>" % (address, self.tell(self.value.dereference()))
        except (gdb.error, gdb.GdbError):
            return "0x%x" % address


class ListHead:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        head, entry = int(self.value.address), self.value["next"]
        try:
            for n in range(10000):
                if int(entry) == head:
                    return "list of %d" % n if n else "list, empty"
                if not int(entry):
                    return "list_head that is not in use" if not n else "list, broken after %d" % n
                entry = entry["next"]
        except gdb.error:
            return "list, broken: 0x%x" % int(entry)
        return "list without an end"


class Counter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return str(int(self.value["counter"] if "counter" in [f.name for f in self.value.type.fields()] else self.value["refs"]["counter"]))


def printer(value):
    kind = value.type
    if kind.code == gdb.TYPE_CODE_PTR:
        target = kind.target().unqualified().strip_typedefs()
        if target.code == gdb.TYPE_CODE_STRUCT and target.name in POINTERS:
            return Pointer(value, POINTERS[target.name])
        return None
    if kind.name in ("atomic_t", "atomic64_t", "refcount_t", "atomic_long_t"):
        return Counter(value)
    kind = kind.unqualified().strip_typedefs()
    if kind.code == gdb.TYPE_CODE_STRUCT and kind.name == "list_head" and value.address is not None:
        return ListHead(value)
    return None


def start():
    # Beside several objects there are several copies of this file: the last one speaks.
    gdb.pretty_printers[:] = [p for p in gdb.pretty_printers if getattr(p, "__name__", "") != "ob_printer"]
    printer.__name__ = "ob_printer"
    gdb.pretty_printers.insert(0, printer)
    for command in (Dmesg, Ps, Fiber, Devices, Timers):
        command()


start()
