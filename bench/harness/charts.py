"""A small SVG writer: grouped stacked bars, horizontal bars and lines, on white."""

import math
from html import escape

WIDTH = 860
INK, FAINT, RULE = "#1f2933", "#64707d", "#e3e7ec"
#: Dark (and, for the second part of a stack, light) colours, by peer and then for the rest.
COLOURS = {
    "ringlink": ("#0b7a75", "#7fc8c2"),
    "relay": ("#8a939d", "#c9ced4"),
    "nginx": ("#3f7d20", "#a5cf8e"),
    "haproxy": ("#2f5fa8", "#a0bce4"),
    "envoy": ("#a4367f", "#e0a5cb"),
    "pingora": ("#d9731a", "#f3c08f"),
}
SPARE = [("#5b3fa0", "#bcaee2"), ("#b3261e", "#eda9a4"), ("#8a6d00", "#dcc66b")]
FONT = "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\""


class Canvas:
    def __init__(self, title, below, height, where):
        self.height = height
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" {FONT}>',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        ]
        self.text(24, 34, title, 18, INK, weight=600)
        self.text(24, 54, below, 12.5, FAINT)
        self.text(WIDTH - 24, height - 12, where, 10.5, FAINT, "end")

    def text(self, x, y, words, size=12, fill=INK, anchor="start", weight=400):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
        )

    def rule(self, x1, y1, x2, y2, stroke=RULE):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"/>'
        )

    def box(self, x, y, width, height, fill, hint):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0):.1f}" '
            f'fill="{fill}"><title>{escape(hint)}</title></rect>'
        )

    def legend(self, peers, colours, y):
        x = 24
        for peer in peers:
            self.box(x, y - 10, 12, 12, colours[peer][0], peer)
            self.text(x + 17, y, peer, 12)
            x += 17 + 7.4 * len(peer) + 22

    def done(self):
        return "\n".join([*self.parts, "</svg>", ""])


def colours_of(peers):
    spare = iter(SPARE * len(peers))
    return {peer: COLOURS.get(peer) or next(spare) for peer in peers}


def short(value):
    """Three significant figures, thousands as k."""
    if value >= 99_950:
        return f"{value / 1000:.0f}k"
    if value >= 9_995:
        return f"{value / 1000:.1f}k"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def ticks(top):
    """Round steps from zero, at least as high as the top; four to six of them."""
    raw = top / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    return [step * i for i in range(math.ceil(top / step) + 1)]


def tick_label(value):
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:,g}"


def bars(title, below, labels, peers, stacks, where):
    """Grouped bars; `stacks[part][group][peer]` lie on one another, dark first."""
    totals = [
        [sum(part[g][p] or 0 for part in stacks) for p in range(len(peers))]
        for g in range(len(labels))
    ]
    top = max((value for group in totals for value in group), default=0)
    if top <= 0:
        return None
    height, left, right, upper = 400, 64, WIDTH - 24, 100
    floor = height - 62
    scale = ticks(top * 1.04)
    canvas, colours = Canvas(title, below, height, where), colours_of(peers)
    canvas.legend(peers, colours, 82)

    def at(value):
        return floor - (floor - upper) * value / scale[-1]

    for value in scale:
        canvas.rule(left, at(value), right, at(value))
        canvas.text(left - 8, at(value) + 4, tick_label(value), 11, FAINT, "end")
    slot = (right - left) / len(labels)
    width = min(34, slot * 0.84 / len(peers))
    for g, label in enumerate(labels):
        start = left + slot * (g + 0.5) - width * len(peers) / 2
        canvas.text(left + slot * (g + 0.5), floor + 18, label, 12, INK, "middle")
        for p, peer in enumerate(peers):
            x, base = start + p * width, 0
            if totals[g][p] == 0:
                canvas.text(x + width / 2, floor - 4, "×", 12, FAINT, "middle")
                continue
            for dark, part in zip(shades(len(stacks)), stacks):
                value = part[g][p] or 0
                y = at(base + value)
                hint = f"{peer}, {label}: {short(totals[g][p])}"
                fill = colours[peer][dark]
                canvas.box(x + 0.75, y, width - 1.5, at(base) - y, fill, hint)
                base += value
            # Labels that would run into each other say nothing.
            size = 9.5 if width >= 24 else 8
            words = short(totals[g][p])
            if width >= 4.6 * len(words) * size / 8:
                canvas.text(x + width / 2, at(base) - 4, words, size, INK, "middle")
    canvas.rule(left, floor, right, floor, INK)
    canvas.text((left + right) / 2, floor + 36, "connections", 11.5, FAINT, "middle")
    return canvas.done()


def shades(count):
    return (0,) if count == 1 else (0, 1)


def rows(title, below, peers, parts, where):
    """One horizontal bar for each peer, of one or two parts."""
    totals = [sum(v or 0 for v in one) if one[0] is not None else None for one in parts]
    top = max((t for t in totals if t is not None), default=0)
    if top <= 0:
        return None
    pitch, upper = 34, 76
    height = upper + pitch * len(peers) + 34
    left, right = 116, WIDTH - 96
    canvas, colours = Canvas(title, below, height, where), colours_of(peers)
    for i, (peer, one, total) in enumerate(zip(peers, parts, totals)):
        y = upper + i * pitch
        canvas.text(left - 12, y + 17, peer, 13, INK, "end", 600 if i == 0 else 400)
        if total is None:
            canvas.text(left + 8, y + 17, "no number: see the table", 12, FAINT)
            continue
        x = left
        for dark, value in zip(shades(len(one)), one):
            width = (right - left) * max(value or 0, 0) / top
            canvas.box(x, y, width, 24, colours[peer][dark], f"{peer}: {short(value or 0)}")
            x += width
        canvas.text(x + 8, y + 17, short(max(total, 0)), 12.5)
    canvas.rule(left, upper - 6, left, upper + pitch * len(peers) - 4, INK)
    return canvas.done()


def lines(title, below, labels, peers, groups, where):
    """A line for each peer over the groups, on a logarithmic scale."""
    present = [value for group in groups for value in group if value]
    if not present:
        return None
    low, high = math.floor(math.log10(min(present))), math.ceil(math.log10(max(present)))
    high += low == high
    height, left, right, upper = 400, 64, WIDTH - 110, 100
    floor = height - 62
    canvas, colours = Canvas(title, below, height, where), colours_of(peers)
    canvas.legend(peers, colours, 82)

    def at(value):
        return floor - (floor - upper) * (math.log10(value) - low) / (high - low)

    for power in range(low, high + 1):
        y = at(10**power)
        canvas.rule(left, y, right, y)
        canvas.text(left - 8, y + 4, f"{10.0**power:g}", 11, FAINT, "end")
    gap = (right - left) / len(labels)
    across = [left + gap * (g + 0.5) for g in range(len(labels))]
    for x, label in zip(across, labels):
        canvas.text(x, floor + 18, label, 12, INK, "middle")
    ends = []
    for p, peer in enumerate(peers):
        points = [(x, at(group[p])) for x, group in zip(across, groups) if group[p]]
        if not points:
            continue
        colour, path = colours[peer][0], " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        canvas.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>'
        )
        for x, y in points:
            canvas.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"/>')
        last = next(group[p] for group in reversed(groups) if group[p])
        ends.append([points[-1][1], points[-1][0], f"{peer} {short(last)}", colour])
    # Names at the lines' ends, pushed apart where they would overlap.
    ends.sort()
    for above, end in zip(ends, ends[1:]):
        end[0] = max(end[0], above[0] + 14)
    for y, x, words, colour in ends:
        canvas.text(x + 9, y + 4, words, 11.5, colour)
    canvas.rule(left, floor, right, floor, INK)
    canvas.text((left + right) / 2, floor + 36, "connections", 11.5, FAINT, "middle")
    return canvas.done()
