# SPDX-License-Identifier: BSD-2-Clause
"""Plots as SVG: lines with a bar from lowest to highest value, or bars. Sides have the same colour and mark in all plots of an
experiment, and their names stand beside their lines."""
import html
import math

WIDTH, HEIGHT = 680, 340
LEFT, RIGHT, TOP, BOTTOM = 66, 150, 14, 46
# Told apart in black and white by their marks, and by people who do not see all colours (Okabe and Ito's).
COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8b5a2b", "#6a3d9a")
MARKS = ("circle", "square", "triangle", "diamond", "cross", "circle", "square", "triangle", "diamond", "cross")


def short(value):
    """1234567 -> 1.23M"""
    if value == 0:
        return "0"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            divisor = {"G": 1e9, "M": 1e6, "k": 1e3}[unit]
            return f"{value / divisor:.3g}{unit}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Axis:
    """From data to points."""

    def __init__(self, low, high, start, end, log):
        self.log = log and low > 0
        if self.log:
            low, high = 10 ** math.floor(math.log10(low) + 1e-9), 10 ** math.ceil(math.log10(high) - 1e-9)
            high = high if high > low else low * 10
        else:
            low = min(low, 0)
            high = high if high > low else low + 1
            step = self.step(low, high)
            high = math.ceil(high / step - 1e-9) * step
        self.low, self.high, self.start, self.end = low, high, start, end

    @staticmethod
    def step(low, high):
        rough = (high - low) / 5
        power = 10 ** math.floor(math.log10(rough))
        return next(power * m for m in (1, 2, 5, 10) if power * m >= rough - 1e-12)

    def at(self, value):
        if self.log:
            part = math.log10(max(value, self.low) / self.low) / math.log10(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self):
        if self.log:
            decades = round(math.log10(self.high / self.low))
            return [self.low * 10 ** n * m for n in range(decades + 1) for m in ((1, 2, 5) if decades < 3 else (1,))
                    if self.low * 10 ** n * m <= self.high * 1.001]
        step = self.step(self.low, self.high)
        return [self.low + n * step for n in range(int(round((self.high - self.low) / step)) + 1)]


def mark(kind, x, y, colour):
    paint = f'fill="{colour}"'
    if kind == "square":
        return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" {paint}/>'
    if kind == "triangle":
        return f'<path d="M{x:.1f} {y - 4:.1f}l4 7h-8z" {paint}/>'
    if kind == "diamond":
        return f'<path d="M{x:.1f} {y - 4.5:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5z" {paint}/>'
    if kind == "cross":
        return f'<path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6" stroke="{colour}" stroke-width="2" fill="none"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" {paint}/>'


def text(x, y, what, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{html.escape(what)}</text>'


def names_apart(ends):
    """Where the names beside the lines stand, so that none covers another."""
    placed = []
    for y, side in sorted(ends):
        y = max(y, placed[-1][0] + 14) if placed else y
        placed.append((y, side))
    over = placed[-1][0] - (HEIGHT - BOTTOM + 4) if placed else 0
    if over > 0:
        limit = HEIGHT - BOTTOM + 4
        for i in range(len(placed) - 1, -1, -1):
            y = min(placed[i][0], limit)
            placed[i] = (y, placed[i][1])
            limit = y - 14
    return {side: y for y, side in placed}


def lines(series, order, x_label, y_label, log_x, log_y):
    """@series: {side: [(x, median, low, high)]}; @order: all sides of the experiment, for their colours."""
    points = [p for row in series.values() for p in row]
    xs = sorted({p[0] for p in points})
    x_axis = Axis(xs[0], xs[-1], LEFT, WIDTH - RIGHT, False)
    x_axis.log = log_x and xs[0] > 0 and len(xs) > 1
    x_axis.low, x_axis.high = (xs[0] if x_axis.log else min(0, xs[0])), (xs[-1] if xs[-1] > xs[0] or not x_axis.log else xs[0] * 2)
    y_axis = Axis(min(p[2] for p in points), max(p[3] for p in points), HEIGHT - BOTTOM, TOP, log_y)
    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(y_label)} by {html.escape(x_label)}">']
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>' + text(LEFT - 6, y + 4, short(tick), "end"))
    last = -100
    for x in xs:
        at = x_axis.at(x)
        out.append(f'<path d="M{at:.1f} {HEIGHT - BOTTOM}v4" class="axis"/>')
        if at - last >= 30:
            out.append(text(at, HEIGHT - BOTTOM + 17, short(x), "middle"))
            last = at
    out.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" class="axis"/>')
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"))
    out.append(text(0, 0, y_label, "middle", f' transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"'))
    names = names_apart([(y_axis.at(row[-1][1]), side) for side, row in series.items()])
    for side, row in series.items():
        index = order.index(side) % len(COLOURS)
        colour = COLOURS[index]
        path = "L".join(f"{x_axis.at(x):.1f} {y_axis.at(m):.1f}" for x, m, _, _ in row)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        for x, middle, low, high in row:
            at = x_axis.at(x)
            if high > low:
                out.append(f'<path d="M{at:.1f} {y_axis.at(low):.1f}V{y_axis.at(high):.1f}" stroke="{colour}" stroke-width="1"/>')
            out.append(mark(MARKS[index], at, y_axis.at(middle), colour))
        end, name_y = x_axis.at(row[-1][0]), names[side]
        out.append(f'<path d="M{end + 5:.1f} {y_axis.at(row[-1][1]):.1f}L{WIDTH - RIGHT + 14} {name_y:.1f}" stroke="{colour}" '
                   'stroke-width="0.7" fill="none"/>')
        out.append(text(WIDTH - RIGHT + 18, name_y + 4, side, "start", f' fill="{colour}"'))
    return "".join(out) + "</svg>"


def bars(rows, order, label, log):
    """@rows: [(side, median, low, high)]"""
    height = TOP + 24 * len(rows) + BOTTOM
    left, right = 140, 70
    axis = Axis(min(r[2] for r in rows), max(r[3] for r in rows), left, WIDTH - right, log)
    out = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(label)}">']
    for tick in axis.ticks():
        x = axis.at(tick)
        out.append(f'<path d="M{x:.1f} {TOP}V{height - BOTTOM}" class="grid"/>' +
                   text(x, height - BOTTOM + 16, short(tick), "middle"))
    for n, (side, middle, low, high) in enumerate(rows):
        y = TOP + 24 * n + 4
        colour = COLOURS[order.index(side) % len(COLOURS)] if side in order else COLOURS[0]
        end = axis.at(middle)
        out.append(f'<rect x="{left}" y="{y}" width="{max(end - left, 1):.1f}" height="16" fill="{colour}" fill-opacity="0.75"/>')
        if high > low:
            out.append(f'<path d="M{axis.at(low):.1f} {y + 8}H{axis.at(high):.1f}" stroke="#000" stroke-width="1.2"/>')
        out.append(text(left - 6, y + 12, side, "end") + text(max(end, axis.at(high)) + 5, y + 12, short(middle)))
    out.append(text((left + WIDTH - right) / 2, height - 8, label, "middle"))
    return "".join(out) + "</svg>"
