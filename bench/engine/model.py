# SPDX-License-Identifier: BSD-2-Clause
"""What the counts mean for hardware that nobody has here: a cost model.

An operation takes its instructions times what an instruction takes. Two values of that bound the answer: what this machine
takes natively for Outboard's own map and unmap of memory (experiment dma, time by instructions: warm caches, good prediction), and one
instruction a cycle at 3 GHz, which code that misses its caches, as a kernel's mostly does, hardly falls below."""
import html
import statistics

CAREFUL_NS = 1 / 3
CALIBRATED_BY = ("arena", "arena-lazy", "cached")
# (experiment, load, parameter, what, [(hardware, operations a second)])
# A frame of N bytes takes N + 24 on the wire: check sequence, preamble and gap (IEEE 802.3).
TARGETS = (
    ("disk-sizes", "read", 8, "4 KiB reads", (("1 M IOPS", 1e6), ("10 M IOPS", 1e7))),
    ("net-sizes", "sent", 64, "frames of 64 bytes sent", (("25 Gb/s", 25e9 / 8 / 88), ("100 Gb/s", 100e9 / 8 / 88))),
    ("net-sizes", "sent", 1514, "frames of 1,514 bytes sent", (("25 Gb/s", 25e9 / 8 / 1538), ("100 Gb/s", 100e9 / 8 / 1538))),
)


def calibrated(results):
    """Nanoseconds of an instruction, by what was measured here; None without experiment dma."""
    dma = results.get("dma")
    if not dma:
        return None
    found = []
    for way in CALIBRATED_BY:
        time = dma.cells.get(("time", "map and unmap", 4096, way))
        count = dma.cells.get(("instructions", "4 KiB", None, way))
        if time and count and count.median:
            found.append(time.low / count.median)    # what disturbs only adds
    return statistics.median(found) if found else None


def processors(instructions, rate, ns):
    need = instructions * ns * rate / 1e9
    return f"{need:.2f}" if need < 9.95 else f"{need:.0f}"


def section(results):
    ns = calibrated(results)
    if not ns:
        return ""
    low, high = min(ns, CAREFUL_NS), max(ns, CAREFUL_NS)
    rows = []
    for name, load, parameter, what, hardware in TARGETS:
        result = results.get(name)
        if not result:
            continue
        for side in result.sides("instructions", load):
            cell = result.cells.get(("instructions", load, parameter, side))
            if cell:
                need = "".join(f"<td>{processors(cell.median, rate, low)} to {processors(cell.median, rate, high)}"
                               f"<small>{html.escape(device)}</small></td>" for device, rate in hardware)
                rows.append(f"<tr><td>{html.escape(what)}, {html.escape(side)}</td><td>{cell.median:,.0f}</td>{need}</tr>")
    if not rows:
        return ""
    return f"""<h2 id="model">What it means for fast hardware</h2>
<p>Processors that would be busy with nothing else, for a device that keeps up: instructions of an operation × time of an instruction × operations
a second. The time of an instruction is {low:.2f} to {high:.2f} ns: {ns:.2f} is what Outboard's own code takes on this machine (experiment dma:
time by instructions of {', '.join(CALIBRATED_BY)}), {CAREFUL_NS:.2f} one instruction a cycle at 3 GHz.</p>
<p class="note">Assumed: instruction counts of these device models and this kernel hold for other devices, too; work divides among
processors without loss; a packet or request does not share its cost with others more than it does here (no segmentation
offload). Not in it: a change between program and kernel by itself (some 50 to 200 ns with this machine's mitigations, besides its instructions), a store to a
device's register (some 100 ns, one for a burst), memory bandwidth of copies, of which an instruction may move 64 bytes or one.
It is a model, not a measurement.</p>
<div class="scroll"><table><thead><tr><th>operation, side</th><th>instructions</th><th>processors</th><th></th></tr></thead>
<tbody>{''.join(rows)}</tbody></table></div>"""
