"""Medians, the terminal's tables, PERFORMANCE.md's tables and charts."""

import json
import re
from pathlib import Path
from statistics import median

from . import charts, scenarios

BENCH = Path(__file__).resolve().parent.parent
PERFORMANCE = BENCH.parent / "PERFORMANCE.md"
CHARTS = BENCH / "charts"
BY_NAME = {one.name: one for one in scenarios.SCENARIOS}
#: The number by which peers are compared, and the table's columns: key, heading, decimals.
LOAD = "cpu_us"
IDLE = "anon_bytes"
LOAD_COLUMNS = [
    ("cpu_us", "CPU µs/req", 2),
    ("user_us", "user", 2),
    ("system_us", "system", 2),
    ("rps", "requests/s", 0),
    ("busy", "busy", None),
    ("p50_us", "p50 µs", 0),
    ("p99_us", "p99 µs", 0),
]
IDLE_COLUMNS = [
    ("anon_bytes", "anonymous B/conn", 0),
    ("private_bytes", "private B/conn", 0),
    ("rss_bytes", "RSS B/conn", 0),
]
ERRORS = ("connect", "read", "write", "timeout", "non_2xx")
#: Other work on the proxy's core above this share makes a round suspect.
NOISE = 0.05


def is_idle(name):
    return isinstance(BY_NAME[name], scenarios.Idle)


def line(turn, rounds, result):
    """One measurement, for the log."""
    head = f"[{turn}/{rounds}] {result['scenario']:<6}{result['peer']:<12}"
    if result["status"] != "ok":
        return f"{head}{result['status']}: {result['why']}"
    if is_idle(result["scenario"]):
        return f"{head}{result['anon_bytes']:8.0f} B anonymous per connection"
    text = f"{head}{result['cpu_us']:8.2f} µs/req {result['rps']:9.0f} req/s"
    errors = scenarios.errors_of(result)
    if errors:
        text += f"  errors: {errors}"
    if max(result["others"], result["stolen"]) > NOISE:
        text += (
            f"  noise: {100 * result['others']:.0f}% others, {100 * result['stolen']:.0f}% stolen"
        )
    return text


def summarize(data):
    """{scenario: {peer: row}}: medians over the rounds that succeeded, failures in words."""
    table = {}
    for name in data["scenarios"]:
        columns = IDLE_COLUMNS if is_idle(name) else LOAD_COLUMNS
        key = IDLE if is_idle(name) else LOAD
        rows = {}
        for peer in data["peers"]:
            every = [r for r in data["results"] if (r["scenario"], r["peer"]) == (name, peer)]
            good = [r for r in every if r["status"] == "ok"]
            bad = [r for r in every if r["status"] != "ok"]
            row = {"rounds": len(good), "notes": []}
            if good:
                row |= {c: median(r[c] for r in good) for c, _, _ in columns}
                values = [r[key] for r in good]
                row["spread"] = (max(values) - min(values)) / row[key] / 2 if row[key] > 0 else 0
                errors = {e: sum(r.get(e, 0) for r in good) for e in ERRORS}
                if scenarios.errors_of(errors):
                    total = sum(r.get("requests", 0) for r in good)
                    row["notes"].append(
                        f"errors in {total} requests: {scenarios.errors_of(errors)}"
                    )
                noisy = sum(max(r.get("others", 0), r.get("stolen", 0)) > NOISE for r in good)
                if noisy:
                    row["notes"].append(f"{noisy} of {len(good)} rounds noisy")
            if bad:
                times = (
                    ""
                    if bad[0]["status"] == "missing"
                    else f" in {len(bad)} of {len(every)} rounds"
                )
                row["notes"].append(f"{bad[0]['status']}{times}: {bad[0]['why']}")
            if not every:
                row["notes"].append("not measured")
            rows[peer] = row
        table[name] = rows
    return table


def cell(value, decimals):
    if decimals is None:
        return f"{100 * value:.0f}%"
    return f"{value:,.{decimals}f}"


def rows_of(name, rows, data):
    """Headings and cells of a scenario's table, with a ratio to each build of ringlink."""
    columns = IDLE_COLUMNS if is_idle(name) else LOAD_COLUMNS
    key = IDLE if is_idle(name) else LOAD
    bases = [b for b in data.get("builds", []) if rows.get(b, {}).get("rounds")]
    if not bases and rows.get("relay", {}).get("rounds"):
        bases = ["relay"]
    headings = ["peer"] + [title for _, title, _ in columns] + ["±"]
    headings += [f"÷ {base}" for base in bases]
    cells = []
    for peer, row in rows.items():
        if not row["rounds"]:
            cells.append([peer] + ["–"] * (len(headings) - 1))
            continue
        values = [cell(row[column], decimals) for column, _, decimals in columns]
        ratios = [ratio(row[key], rows[base][key]) for base in bases]
        cells.append([peer, *values, cell(row["spread"], None), *ratios])
    notes = [f"{peer}: {note}" for peer, row in rows.items() for note in row["notes"]]
    if BY_NAME[name].note:
        notes.append(BY_NAME[name].note)
    return headings, cells, notes


def ratio(value, base):
    return f"{value / base:.2f}" if base > 0 and value > 0 else "–"


def terminal(data):
    out = []
    for name, rows in summarize(data).items():
        headings, cells, notes = rows_of(name, rows, data)
        out.append(f"\n{BY_NAME[name].title}")
        out += aligned(headings, cells)
        out += [f"  * {note}" for note in notes]
    return "\n".join(out) + "\n"


def aligned(headings, cells):
    """The lines of a table for a terminal: the first column to the left, all others to the right."""
    widths = [max(len(row[i]) for row in [headings, *cells]) for i in range(len(headings))]
    for row in [headings, *cells]:
        padded = [row[0].ljust(widths[0])]
        padded += [text.rjust(width) for text, width in zip(row[1:], widths[1:])]
        yield "  " + "  ".join(padded)


def piped(headings, cells):
    """The lines of a table in Markdown."""
    yield f"| {' | '.join(headings)} |"
    yield "|---" + "|--:" * (len(headings) - 1) + "|"
    yield from (f"| {' | '.join(row)} |" for row in cells)


def markdown(data):
    out = []
    for name, rows in summarize(data).items():
        headings, cells, notes = rows_of(name, rows, data)
        out.append(f"### {BY_NAME[name].title}\n")
        out += piped(headings, cells)
        out.append("")
        out += [f"- {note}" for note in notes]
        if notes:
            out.append("")
    return "\n".join(out)


def place(m):
    """The machine in words."""
    where = f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, Linux {m['kernel']}"
    if m.get("virtualization") not in (None, "none"):
        where += f", virtual machine ({m['virtualization']})"
    return where


def circumstances(data):
    """Where, when and of what the numbers are."""
    s = data["settings"]
    versions = ", ".join(
        f"{name} {v or '(version unknown)'}" for name, v in data["versions"].items()
    )
    how = f"{s['rounds']} rounds of {s['duration_s']} s, driver {s['driver']}"
    lines = [
        f"- Machine: {place(data['machine'])}",
        f"- Versions: {versions}",
        f"- Taken: {data['date'][:10]}, commit `{data['commit']}`; {how}",
    ]
    if data.get("interrupted") or s.get("quick"):
        lines.append("- **A smoke test or an interrupted run: not to be trusted.**")
    return "\n".join(lines)


def write_performance(out):
    runs = sorted(out.glob("run-*.json"))
    if not runs:
        raise SystemExit(f"bench/run: no run-*.json in {out}")
    data = json.loads(runs[-1].read_text())
    sections = {"circumstances": circumstances(data), "tables": markdown(data)}
    sections["charts"] = "\n\n".join(
        f"![{title}](bench/charts/{name}.svg)" for name, title in draw(data)
    )
    put("bench", sections)
    print(f"PERFORMANCE.md and bench/charts written from {runs[-1].name}")


def put(kind, sections):
    """Writes each section between the marks that PERFORMANCE.md has for it."""
    text = PERFORMANCE.read_text()
    for name, body in sections.items():
        begin, end = f"<!-- {kind}:{name} -->", f"<!-- /{kind}:{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"PERFORMANCE.md lacks {begin} ... {end}")
        text = pattern.sub(lambda _, b=begin, t=body, e=end: f"{b}\n{t}\n{e}", text)
    PERFORMANCE.write_text(text)


def draw(data):
    """Writes every chart there are numbers for; returns (name, title) of each."""
    table = summarize(data)
    CHARTS.mkdir(exist_ok=True)
    for old in CHARTS.glob("*.svg"):
        old.unlink()
    peers = data["peers"]
    sweep = [n for n in ("c1", "c8", "c64", "c512", "c4000") if n in table]
    others = [n for n in ("10k", "1m", "close") if n in table]

    def value(name, peer, column):
        return table[name][peer].get(column)

    def values(names, column):
        return [[value(name, peer, column) for peer in peers] for name in names]

    labels = [f"{BY_NAME[n].connections:,}" for n in sweep]
    made = []

    def chart(name, title, svg):
        if svg:
            (CHARTS / f"{name}.svg").write_text(svg)
            made.append((name, title))

    where = f"{data['machine']['cpu']}, one core for the proxy, Linux {data['machine']['kernel']}"
    if sweep:
        title = "CPU time per request, by connections"
        below = "µs; dark: user, light: system; 100-byte answers over loopback; lower is better"
        stacks = [values(sweep, "user_us"), values(sweep, "system_us")]
        chart("cpu", title, charts.bars(title, below, labels, peers, stacks, where))
        title = "Requests per second, by connections"
        below = "one core for the proxy, one for load and backend; higher is better"
        chart("rps", title, charts.bars(title, below, labels, peers, [values(sweep, "rps")], where))
        title = "99th percentile latency at full load, by connections"
        below = "ms, logarithmic; closed loop, each connection asks again at once; lower is better"
        p99 = [[v and v / 1000 for v in group] for group in values(sweep, "p99_us")]
        chart("p99", title, charts.lines(title, below, labels, peers, p99, where))
    for name in others:
        title = f"CPU time per request: {BY_NAME[name].title}"
        below = "µs; dark: user, light: system; lower is better"
        parts = [[value(name, p, "user_us"), value(name, p, "system_us")] for p in peers]
        chart(f"cpu-{name}", title, charts.rows(title, below, peers, parts, where))
    if "idle" in table:
        title = BY_NAME["idle"].title
        below = "bytes of anonymous user memory; lower is better"
        parts = [[value("idle", p, "anon_bytes")] for p in peers]
        chart("idle", title, charts.rows(title, below, peers, parts, where))
    return made
