"""Draw the rooms of the server and the imports between them: `python docs/images/make_rooms.py` writes rooms.svg.

Rows and their order come from the layers contract in pyproject.toml, arrows from the real imports. The picture cannot
go stale: tests/test_architecture.py fails until it is drawn again.
"""

import ast
import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(__file__).with_name("rooms.svg")
PACKAGES = ("config", "layouts", "metadata", "tenants")
HIDDEN = {"apps", "resolvers", "migrations"}
"""Files that Django or old settings need; they hold no behaviour."""
WIDTH, ROW, BOX_HEIGHT, GAP = 1080, 96, 52, 18

STYLE = """
  text { font: 15px system-ui, sans-serif; fill: #1b1f24 }
  text.job { font-size: 11px; fill: #57606a }
  rect { fill: #f6f8fa; stroke: #8c959f; rx: 8px }
  path { fill: none; stroke: #57606a; stroke-opacity: .6; stroke-width: 1.4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } text.job { fill: #9aa4af } rect { fill: #1c2128; stroke: #545d68 } path { stroke: #9aa4af }
  }
"""
JOBS = {
    "config": "settings, URLs, ASGI",
    "transports": "WebSocket, REST, v1, health",
    "management": "commands",
    "admin": "records, log, rights",
    "demo": "demo tenants",
    "csv": "import and export",
    "v1": "pull and push, SyncProtocol v1",
    "catchup": "log, rows, snapshots, digests",
    "settle": "decide ops, merge, write",
    "fanout": "hub, feeds, access checks",
    "receivers": "publishes to log",
    "log": "changes, prune, verify",
    "channels": "projection, routing, view",
    "entities": "documents of v1",
    "records": "SQL, rows, reads",
    "models": "what sync stores",
    "errors": "engine errors",
    "wire": "messages, lines, chain",
    "conf": "typed settings",
    "metrics": "counters",
    "layouts": "layouts of forms",
    "metadata": "object types, publish",
    "tenants": "tenants, members, devices",
}


def rows() -> list[list[str]]:
    """Return the rooms, top row first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one.get("containers") == ["sync"])
    found = [[room.strip() for room in layer.replace(":", "|").split("|")] for layer in layers]
    kept = [[room for room in row if room not in HIDDEN] for row in found]
    return [["config"], *[row for row in kept if row], ["layouts"], ["metadata"], ["tenants"]]


def _room(module: str) -> str | None:
    head, _, rest = module.partition(".")
    if head == "sync":
        return rest.partition(".")[0] or None
    return head if head in PACKAGES else None


def arrows() -> set[tuple[str, str]]:
    """Return which room imports which."""
    found: set[tuple[str, str]] = set()
    for package in ("sync", *PACKAGES):
        for path in (ROOT / package).rglob("*.py"):
            own = _room(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for node in ast.walk(ast.parse(path.read_text())):
                for name in _imported(node):
                    other = _room(name)
                    if own and other and own != other and not {own, other} & HIDDEN:
                        found.add((own, other))
    return found


def shown(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows to draw: an import that a chain of other arrows implies would only hide the others."""
    below: dict[str, set[str]] = {}
    for own, other in found:
        below.setdefault(own, set()).add(other)

    def reaches(start: str, goal: str) -> bool:
        return any(one == goal or reaches(one, goal) for one in below.get(start, ()))

    return {(own, other) for own, other in found if not any(one != other and reaches(one, other) for one in below[own])}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def draw() -> str:
    """Return the picture as SVG."""
    places: dict[str, tuple[float, float, float]] = {}
    boxes: list[str] = []
    for index, row in enumerate(rows()):
        width = min(230.0, (WIDTH - GAP * (len(row) + 1)) / len(row))
        left = (WIDTH - width * len(row) - GAP * (len(row) - 1)) / 2
        for number, room in enumerate(row):
            x, y = left + number * (width + GAP), 16 + index * ROW
            places[room] = (x, y, width)
            boxes.append(f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX_HEIGHT}"/>')
            middle = x + width / 2
            boxes.append(f'<text x="{middle:.0f}" y="{y + 22}" text-anchor="middle">{escape(room)}</text>')
            job = escape(JOBS[room])
            boxes.append(f'<text class="job" x="{middle:.0f}" y="{y + 40}" text-anchor="middle">{job}</text>')
    lines: list[str] = []
    for own, other in sorted(shown(arrows())):
        (x1, y1, w1), (x2, y2, w2) = places[own], places[other]
        start, end = x1 + w1 / 2, x2 + w2 / 2
        bend = (y2 - y1) / 3
        curve = f"M{start:.0f} {y1 + BOX_HEIGHT} C{start:.0f} {y1 + BOX_HEIGHT + bend:.0f}"
        lines.append(f'<path d="{curve} {end:.0f} {y2 - bend:.0f} {end:.0f} {y2}"/>')
    height = 16 + len(rows()) * ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    title = "<title>The rooms of the server; each imports only rooms below it</title>"
    return "\n".join([head, title, f"<style>{STYLE}</style>", *lines, *boxes, "</svg>", ""])


if __name__ == "__main__":
    OUT.write_text(draw())
    sys.stdout.write(f"Wrote {OUT.relative_to(ROOT)}.\n")
