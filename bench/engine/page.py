# SPDX-License-Identifier: BSD-2-Clause
"""The page of a folder of results: one HTML file, tables and plots in it, readable without scripts and from paper."""
import html

import model
import plot

NOISY = 0.01    # a spread above it is said
TOO_NOISY = 0.5     # of the machine itself: rates beside counts would mislead, and are left out
BESIDE_COUNTS = "rate"
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#111;background:#fff;max-width:72rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{margin-top:2.4rem;border-top:1px solid #bbb;padding-top:1rem}h3{font-size:1rem;margin-bottom:.3rem}
table{border-collapse:collapse;font-size:.86rem;margin:.4rem 0 1rem}th,td{padding:.16rem .55rem;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}thead th{border-bottom:1px solid #777}tbody tr:nth-child(even){background:#f4f4f4}
td small{color:#555;display:block;font-size:.78em;white-space:nowrap}.met{color:#060}.missed{color:#a00;font-weight:600}
.scroll{overflow-x:auto}svg{width:100%;max-width:46rem;height:auto;display:block;margin:.4rem 0}
svg text{font:11px system-ui,sans-serif}.grid{stroke:#ddd;stroke-width:.7}.axis{stroke:#333;fill:none}
dl{display:grid;grid-template-columns:max-content auto;gap:.1rem 1rem;font-size:.9rem}dt{color:#555}dd{margin:0}
.note{color:#444;font-size:.88rem}nav{columns:2;font-size:.92rem}nav a{display:block}
@media(max-width:40rem){nav{columns:1}}
"""


def figure(value):
    """A table's number: as many digits as say something."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(part):
    return f"{part * 100:.1f} %" if part < 1 else f"{part * 100:.0f} %"


def cell_html(result, metric, load, parameter, side):
    cell = result.cells.get((metric, load, parameter, side))
    if not cell:
        return "<td>–</td>"
    small = []
    user, kernel = (result.cells.get((f"{metric}, {part}", load, parameter, side)) for part in ("user", "kernel"))
    if user and kernel:
        small.append(f"{figure(user.median)} + {figure(kernel.median)}")
    base = result.head["base"]
    ratio = result.ratio(metric, load, parameter, side) if base and side != base else None
    if ratio:
        said = f"{ratio[0]:.3f}×" if ratio[0] < 0.1 else f"{ratio[0]:.2f}×"
        goal = result.goal(metric, load, parameter, side)
        if goal:
            met = ratio[0] <= goal[1] if goal[0] == "<=" else ratio[0] >= goal[1]
            said = f'<span class="{"met" if met else "missed"}">{said} (goal {"≤" if goal[0] == "<=" else "≥"} {goal[1]:g}: ' \
                   f'{"met" if met else "missed"})</span>'
        small.append(said)
    if cell.spread is not None and cell.spread > NOISY:
        small.append(f"spread {percent(cell.spread)}")
    return f"<td>{figure(cell.median)}" + "".join(f"<small>{s}</small>" for s in small) + "</td>"


def table_of(result, metric, sides, corner, rows):
    """@rows: (its name, load, parameter)"""
    out = ['<div class="scroll"><table><thead><tr>', f"<th>{html.escape(corner)}</th>"]
    out += [f"<th>{html.escape(side)}</th>" for side in sides]
    out.append("</tr></thead><tbody>")
    for name, load, parameter in rows:
        out.append(f"<tr><td>{html.escape(name)}</td>")
        out += [cell_html(result, metric, load, parameter, side) for side in sides]
        out.append("</tr>")
    return "".join(out) + "</tbody></table></div>"


def by_parameter(result, metric, load):
    parameters = result.parameters(metric, load)
    rows = [("" if parameter is None else figure(parameter), load, parameter) for parameter in parameters]
    return table_of(result, metric, result.sides(metric, load), result.head["parameter"] if parameters != [None] else "", rows)


def by_load(result, metric):
    """One row for each load instead of a table for each, where nothing varies but the load."""
    loads = result.loads(metric)
    return table_of(result, metric, result.sides(metric, *loads), "", [(load, load, None) for load in loads])


def units_of(result, metric, *loads):
    """Of a metric in these loads, or in all: mostly one; iperf3's are per KiB and per datagram."""
    units = {cell.unit: None for key, cell in result.cells.items() if key[0] == metric and (not loads or key[1] in loads)}
    return ", ".join(units)


def plots_of(result):
    out = []
    for words in result.head["plots"]:
        logs = [w for w in words if w in ("log-x", "log-y")]
        metric = " ".join(w for w in words if w not in logs)
        for load in result.loads(metric):
            parameters = result.parameters(metric, load)
            sides = result.sides(metric, load)
            unit = units_of(result, metric, load)
            order = list(result.head["sides"]) + [s for s in sides if s not in result.head["sides"]]
            label = f"{metric}, {unit}"
            out.append(f"<h3>{html.escape(load)}: {html.escape(metric)}</h3>")
            if parameters == [None]:
                rows = []
                for side in sides:
                    cell = result.cells[(metric, load, None, side)]
                    rows.append((side, cell.median, cell.low, cell.high))
                out.append(plot.bars(rows, order, label, "log-y" in logs))
                continue
            series = {}
            for side in sides:
                for parameter in parameters:
                    cell = result.cells.get((metric, load, parameter, side))
                    if cell and parameter is not None:
                        series.setdefault(side, []).append((parameter, cell.median, cell.low, cell.high))
            out.append(plot.lines(series, order, result.head["parameter"], label, "log-x" in logs, "log-y" in logs))
    return "".join(out)


def noise_of(result):
    if not result.noise:
        return ""
    spreads = [n["spread"] for n in result.noise]
    loads = [n["load"] for n in result.noise]
    stolen = max(n["stolen"] for n in result.noise)
    text = f"Machine meanwhile: a fixed loop's times spread by {percent(min(spreads))} to {percent(max(spreads))}, " \
           f"load average {min(loads):.1f} to {max(loads):.1f}"
    return text + (f", {percent(stolen)} of the processors stolen at most." if stolen > 0.005 else ".")


def section(name, result):
    head = result.head
    out = [f'<h2 id="{html.escape(name)}">{html.escape(head["title"])}</h2>', f'<p>{html.escape(head["about"])}</p>', "<dl>"]
    out.append(f"<dt>From</dt><dd>{html.escape(head['from'])}</dd>")
    if head["where"] == "rig":
        devices = ", ".join(head["devices"]) or "none"
        clock = "instructions are the clock" if "--deterministic" in head["options"] else "QEMU's threads as they are"
        out.append(f"<dt>Machine</dt><dd>kernel {html.escape(head['kernel'])} in QEMU (TCG), IOMMU {html.escape(head['iommu'])}, "
                   f"{html.escape(devices)}; {clock}</dd>")
    for side, what in head["sides"].items():
        out.append(f"<dt>{html.escape(side)}</dt><dd>{html.escape(what)}</dd>")
    out.append(f"<dt>Repeat</dt><dd><code>outboard bench run {html.escape(name)}{'' if result.mode == 'full' else ' --' + result.mode}"
               f"</code> ({result.boots} {'boot' if head['where'] == 'rig' else 'run'}{'' if result.boots == 1 else 's'}, {result.seconds:.0f} s"
               f"{f', {result.processor_seconds:.0f} s of processor time' if result.processor_seconds else ''})</dd></dl>")
    if result.failed:
        out.append(f'<p class="missed">It failed: {html.escape(result.failed)}</p>')
    for side, why in result.skipped.items():
        out.append(f'<p class="note">Without {html.escape(side or "all of it")}: {html.escape(why)}.</p>')
    out.append(plots_of(result))
    noisy = head["kind"] == "counts" and max([n["spread"] for n in result.noise] or [0]) > TOO_NOISY
    for metric in result.metrics():
        if noisy and metric == BESIDE_COUNTS:
            out.append('<p class="note">Rates are left out: the machine was too noisy. They are in the JSON.</p>')
            continue
        if metric.endswith((", user", ", kernel")):
            continue    # they stand in the cells of their sum
        if all(result.parameters(metric, load) == [None] for load in result.loads(metric)):
            out.append(f"<h3>{html.escape(metric)}, {html.escape(units_of(result, metric))}</h3>" + by_load(result, metric))
            continue
        for load in result.loads(metric):
            unit = units_of(result, metric, load)
            out.append(f"<h3>{html.escape(load)}: {html.escape(metric)}, {html.escape(unit)}</h3>" + by_parameter(result, metric, load))
    if any(not metric.startswith(("instructions", "system calls", "lines")) for metric in result.metrics()) and head["where"] == "rig":
        out.append('<p class="note">Rates and times here are an emulated processor\'s and depend on what else the machine does; '
                   'instructions and calls are what to compare.</p>')
    out.append(f'<p class="note">{noise_of(result)}</p>')
    return "".join(out)


def machine_html(about):
    m = about["machine"]
    rows = {
        "processor": f"{m['processors']} × {m['processor']}" + ("" if m["kvm"] else ", without KVM: guests are emulated"),
        "memory": f"{m['memory_mib']} MiB", "kernel": m["kernel"], "hypervisor": m["hypervisor"], "governor": m["governor"],
        "IOMMU": f"{m['iommu_groups']} groups" if m["iommu_groups"] else "none on this machine (the rig's guests have an emulated one)",
        "mitigations": ", ".join(m["mitigations"]) or "none", "QEMU": m["qemu"], "compiler": m["compiler"],
        "Outboard": m["outboard"] + (", changed" if m["changed"] else ""), "begun": about["begun"],
    }
    return "<dl>" + "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(str(v))}</dd>" for k, v in rows.items()) + "</dl>"


READING = """
<p>Each figure is the median of several boots; beside it the ratio to the side that an experiment names as its base, formed in each
boot by itself and then the median of these. The spread is the highest less the lowest value over the median; it is said where it is
above 1 %. All sides of an experiment run in one boot, in turn, with the same client, the same count of operations and the same
places and sizes. Instructions are all that the machine executed between two marks, client and (with networks) the peer's half
included; a processor that waits executes none. An instruction is not a time: a copy is counted once for each step of its string
instruction, a store to a device counts one. Where two figures stand below, they are the user's and the kernel's part.</p>
"""


def make(about, results):
    """The page, as text."""
    out = ['<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
           f"<title>Outboard: benchmarks</title><style>{STYLE}</style></head><body>", "<h1>Outboard: benchmarks</h1>"]
    out.append("<p>Is a device driver in user space as good as one in the kernel, and as good as the best in user space? The experiments "
               "of the papers that claimed so, repeated.</p>")
    calculated = model.section(results)
    out.append("<nav>" + "".join(f'<a href="#{html.escape(n)}">{html.escape(r.head["title"])}</a>' for n, r in results.items()))
    out.append('<a href="#model">What it means for fast hardware</a></nav>' if calculated else "</nav>")
    out.append("<h2>The machine</h2>" + machine_html(about) + "<h2>How to read this</h2>" + READING)
    out += [section(name, result) for name, result in results.items()]
    out.append(calculated)
    return "\n".join(out) + "\n</body></html>\n"
