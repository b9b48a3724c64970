"""What a part found: tables, goals, notes; for the terminal and for PERFORMANCE.md."""

import json
from dataclasses import asdict, dataclass, field

from harness import peers, report, system


@dataclass
class Table:
    headings: list
    cells: list = field(default_factory=list)

    def row(self, *cells):
        self.cells.append([str(cell) for cell in cells])


@dataclass
class Goal:
    """A number that may be so large at most, or has to be so large at least."""

    says: str
    value: float
    bound: float
    at_least: bool = False

    def is_met(self):
        # Of what was not measured, nothing is met.
        if self.value is None:
            return False
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self):
        verdict = "met" if self.is_met() else "**missed**"
        limit = "at least" if self.at_least else "at most"
        return f"{verdict}: {self.says}: {number(self.value)} ({limit} {number(self.bound)})"


@dataclass
class Report:
    title: str
    setting: str
    tables: list
    goals: list
    notes: list = field(default_factory=list)
    #: For the JSON only.
    raw: object = None

    def to_json(self):
        goals = [asdict(goal) | {"is_met": goal.is_met()} for goal in self.goals]
        return asdict(self) | {"goals": goals}

    def terminal(self):
        out = [f"\n{self.title}\n  {self.setting}"]
        for table in self.tables:
            out += ["", *report.aligned(table.headings, table.cells)]
        out += [f"  * {line}" for line in self.lines()]
        return "\n".join(out)

    def lines(self):
        return [goal.line() for goal in self.goals] + self.notes


def number(value):
    """Three figures, or as many as there are before the point."""
    if value is None:
        return "–"
    if isinstance(value, int) or value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def percent(share):
    return "–" if share is None else f"{100 * share:.2f} %"


def markdown(part, data):
    """A part's section, from its JSON."""
    out = [f"### {part['title']}", "", part["setting"], ""]
    for table in part["tables"]:
        out += [*report.piped(table["headings"], table["cells"]), ""]
    for goal in part["goals"]:
        fields = {name: goal[name] for name in ("says", "value", "bound", "at_least")}
        out.append(f"- {Goal(**fields).line()}")
    out += [f"- {note}" for note in part["notes"]]
    taken = f"Taken: {data['date'][:10]}, commit `{data['commit']}`"
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    out.append(f"- {taken}, {versions}; {report.place(data['machine'])}")
    if data["quick"]:
        out.append("- **A smoke test: not to be trusted.**")
    return "\n".join([*out, ""])


def write_performance(directory):
    """Each part from the newest JSON that has it; smoke tests only where there is nothing else."""
    sections = {}
    every = [json.loads(path.read_text()) for path in sorted(directory.glob("fleet-*.json"))]
    for data in sorted(every, key=lambda data: not data["quick"]):
        for name, part in data["parts"].items():
            sections[name] = markdown(part, data)
    if not sections:
        raise SystemExit(f"bench/fleet/run: no fleet-*.json in {directory}")
    report.put("fleet", sections)
    print(f"PERFORMANCE.md: {', '.join(sections)}")


def header(root, ringlink):
    """Where, when and of what the numbers are."""
    versions = {"ringlink": peers.first_number([ringlink, "--version"])}
    for name, program in (("nginx", peers.find("nginx")), ("HAProxy", peers.find("haproxy"))):
        versions[name] = program and peers.first_number([program, "-v"])
    return {
        "date": system.now(),
        "commit": system.git_commit(root),
        "machine": system.machine(),
        "versions": versions,
    }
