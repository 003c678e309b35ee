"""Mutation testing of the core: change one expression at a time and see whether a test fails. Called by `make mutants`.

It works on a copy of the checked-out files, within a time limit. mutmut mutates the Python code; `npm run mutants` does
the same for the web client.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("config", "layouts", "metadata", "moat_client", "sync", "tenants")
STOP_SECONDS = 30
SHOWN = 60
SERVER = "tests/sync/test_"
CLIENT = "clients/python/tests/test_"


@dataclass(frozen=True)
class Target:
    """Modules to mutate, and the tests that should notice."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "merge": Target(("sync/settle/merge.py",), (f"{SERVER}merge.py",)),
    "settle": Target(
        ("sync/settle/batch.py", "sync/settle/decide.py", "sync/settle/guard.py", "sync/settle/tx.py"),
        (f"{SERVER}settle.py", f"{SERVER}settle_rights.py", f"{SERVER}conflicts.py", f"{SERVER}settle_properties.py"),
    ),
    "projection": Target(
        ("sync/channels/projection.py",),
        (f"{SERVER}projection.py", f"{SERVER}routing.py", f"{SERVER}filtered_channels.py"),
    ),
    "access_check": Target(("sync/fanout/access_check.py",), (f"{SERVER}hub.py", f"{SERVER}hub_access.py")),
    "hub": Target(("sync/fanout/hub.py",), (f"{SERVER}hub.py", f"{SERVER}hub_access.py")),
    "catch_up": Target(("sync/catchup/plan.py",), (f"{SERVER}catch_up.py", f"{SERVER}catch_up_access.py")),
    "writer": Target(
        ("sync/settle/writer.py", "sync/settle/turn.py", "sync/settle/waiting.py"), (f"{SERVER}writer.py",)
    ),
    "client_fold": Target(("moat_client/replica/fold.py",), (f"{CLIENT}fold.py", f"{CLIENT}vectors.py")),
    "client_push": Target(("moat_client/engine/push.py",), (f"{CLIENT}push.py",)),
    "client_overlays": Target(("moat_client/replica/overlays.py",), (f"{CLIENT}overlays.py", f"{CLIENT}replica.py")),
}
WEB = "web"


@dataclass
class Score:
    """What became of a target's mutants."""

    target: str
    mutants: int = 0
    tested: int = 0
    killed: int = 0
    survivors: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def percent(self) -> float:
        """The share of tested mutants that a test noticed."""
        return 100 * self.killed / self.tested if self.tested else 0.0


def stage(folder: Path) -> None:
    """Copy the files of the checkout; the client stands at the top, where mutmut finds it by its import name."""
    names = _output(["git", "ls-files", "-z"], ROOT).split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if not source.is_file() or name.startswith(("clients/web/", "clients/ios/", "docs/images/")):
            continue
        copy = folder / name.removeprefix("clients/python/") if "moat_client/" in name else folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy)


def configure(folder: Path, target: Target) -> None:
    """Write mutmut's configuration for one target, and drop what an earlier one left."""
    shutil.rmtree(folder / "mutants", ignore_errors=True)
    settings = {
        "source_paths": sorted({module.split("/")[0] for module in target.modules}),
        "only_mutate": list(target.modules),
        "also_copy": [*ROOMS, "benchmarks", "clients", "docs", "manage.py", "templates", "tests"],
        # The database is made once: every mutant would migrate its own.
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:randomly", "--reuse-db"],
        "pytest_add_cli_args_test_selection": [test for test in target.tests if (folder / test).exists()],
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (folder / "pyproject.toml").write_text(f"{text}\n[tool.mutmut]\n" + "\n".join(lines) + "\n", encoding="utf-8")


def run_target(folder: Path, name: str, options: argparse.Namespace, seconds: float) -> Score:
    """Test a random sample of a target's mutants, for so many seconds at most."""
    deadline = time.monotonic() + seconds
    configure(folder, TARGETS[name])
    # The first mutant of every function: this run also generates all of them and records which tests run what.
    first = _mutmut(folder, ["run", "--max-children", "1", "*__mutmut_1"], deadline)
    results = _results(folder)
    if not any(status != "not checked" for status in results.values()):
        return Score(name, len(results), error=f"No mutant was tested. Give more MINUTES, or fix:\n{first[-2000:]}")
    rest = sorted(mutant for mutant, status in results.items() if status == "not checked")
    random.Random(options.seed).shuffle(rest)  # noqa: S311 - a sample, not a secret
    chosen = rest[: options.sample] if options.sample else rest
    if chosen and time.monotonic() < deadline:
        _mutmut(folder, ["run", "--max-children", "1", *chosen], deadline)
        results = _results(folder)
    return _score(folder, name, results, show=options.survivors)


def _score(folder: Path, name: str, results: dict[str, str], *, show: bool) -> Score:
    counts = Counter(results.values())
    killed = sum(counts[status] for status in ("killed", "timeout", "segfault", "suspicious", "caught by type check"))
    alive = sorted(mutant for mutant, status in results.items() if status in ("survived", "no tests"))
    shown = alive[:SHOWN] if show else []  # mutmut takes a second or two for each
    texts = [_output([sys.executable, "-m", "mutmut", "show", mutant], folder) for mutant in shown]
    texts += alive[len(shown) :]
    return Score(name, len(results), killed + len(alive), killed, texts)


def _results(folder: Path) -> dict[str, str]:
    lines = _output([sys.executable, "-m", "mutmut", "results", "--all", "true"], folder).splitlines()
    return {name.strip(): status.strip() for name, found, status in (line.rpartition(": ") for line in lines) if found}


def _output(command: Sequence[str], folder: Path) -> str:
    environment = _environment(folder)
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout


def _mutmut(folder: Path, arguments: Sequence[str], deadline: float) -> str:
    """Run mutmut until it ends or the deadline comes; what was tested until then counts."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        command = [sys.executable, "-m", "mutmut", *arguments]
        running = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=_environment(folder), stdout=log, stderr=log, start_new_session=True
        )
        try:
            running.wait(max(1.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as problem:
            _stop(running)
            if isinstance(problem, KeyboardInterrupt):
                raise
        log.seek(0)
        return log.read().replace("\r", "\n")


def _stop(running: "subprocess.Popen[bytes]") -> None:
    os.killpg(running.pid, signal.SIGINT)
    try:
        running.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DATABASE_URL", "REDIS_URL")}
    return kept | {"MOAT_DATA_DIR": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "config.settings.test"}


def run_web(seconds: float) -> Score:
    """Run the web client's own mutation tests, which print their score to standard error."""
    scripts = json.loads((ROOT / "clients/web/package.json").read_text(encoding="utf-8")).get("scripts", {})
    if "mutants" not in scripts:
        return Score(WEB, error="clients/web has no script named mutants.")
    script = ["npm", "--prefix", str(ROOT / "clients/web"), "run", "--silent", "mutants", "--"]
    command = [*script, "--minutes", f"{seconds / 60:.2f}"]
    try:
        done = subprocess.run(command, stdout=sys.stderr, timeout=seconds + STOP_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Score(WEB, error=str(problem))
    return Score(WEB, error="" if done.returncode == 0 else f"npm run mutants ended with {done.returncode}.")


def report(scores: Sequence[Score], *, as_json: bool, survivors: bool) -> None:
    """Print a line for each target, then the survivors."""
    if as_json:
        sys.stdout.write(json.dumps([asdict(score) | {"percent": round(score.percent, 1)} for score in scores]) + "\n")
        return
    sys.stdout.write(f"{'target':<16}{'mutants':>8}{'tested':>8}{'killed':>8}{'score':>8}\n")
    for score in scores:
        if score.error:
            sys.stdout.write(f"{score.target:<16}{score.error}\n")
        elif score.mutants:
            figures = f"{score.mutants:>8}{score.tested:>8}{score.killed:>8}{score.percent:>7.1f}%"
            sys.stdout.write(f"{score.target:<16}{figures}\n")
    for score in scores if survivors else ():
        for text in score.survivors:
            sys.stdout.write(f"\n{text}\n")


def main() -> int:
    """Run the chosen targets and return the exit code."""
    parse = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").split("\n")[0])
    every = [*TARGETS, WEB]
    parse.add_argument("targets", nargs="*", metavar="TARGET", help=f"any of: {', '.join(every)} (default: all)")
    parse.add_argument("--minutes", type=float, default=20.0, help="time for all targets together (default: 20)")
    parse.add_argument("--sample", type=int, default=150, help="mutants per target, 0 for all (default: 150)")
    parse.add_argument("--seed", type=int, default=1, help="which sample (default: 1)")
    parse.add_argument("--survivors", action="store_true", help="print each mutant that no test noticed")
    parse.add_argument("--json", action="store_true", help="print JSON output")
    options = parse.parse_args()
    chosen = options.targets or every
    if unknown := [name for name in chosen if name not in every]:
        parse.error(f"unknown target {', '.join(unknown)}. Use any of: {', '.join(every)}.")
    end = time.monotonic() + options.minutes * 60
    scores: list[Score] = []
    with tempfile.TemporaryDirectory(prefix="moat-mutants-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        stage(folder)
        for n, name in enumerate(chosen):
            seconds = max(30.0, (end - time.monotonic()) / (len(chosen) - n))
            sys.stderr.write(f"{name}: up to {seconds / 60:.1f} minutes\n")
            scores.append(run_web(seconds) if name == WEB else run_target(folder, name, options, seconds))
    report(scores, as_json=options.json, survivors=options.survivors)
    return 1 if any(score.error for score in scores) else 0


if __name__ == "__main__":
    sys.exit(main())
