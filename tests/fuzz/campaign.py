"""A fuzz run: attackers of one tenant, next to a bystander of another, against one server process."""

import random
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_user
from tests.contract.servers import ServerProcess
from tests.fuzz.attackers import ATTACKERS, Finding, Target
from tests.fuzz.bystander import Bystander, Latencies, worst_ratio

IDLE_SHARE = 0.2
LIMIT_SECONDS = 0.25
"""What 95% of the bystander's messages may take on a machine where they take `IDLE_SECONDS` when idle."""
IDLE_SECONDS = 0.02
WORST = 12
"""How many times the limit a single message may take."""
MAX_FINDINGS = 20


@dataclass
class Report:
    """What a run sent and found. `findings` is empty if all is well."""

    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    latencies: dict[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """Return it for a person."""
        sent = ", ".join(f"{name} {count}" for name, count in sorted(self.sent.items()))
        took = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in self.latencies.items())
        answers = [
            f"{name}: {', '.join(f'{answer} {count}' for answer, count in found.most_common())}"
            for name, found in sorted(self.answers.items())
        ]
        lines = [f"seed {self.seed}; messages sent: {sent}", f"bystander: {took}"]
        return "\n".join([*lines, *answers, *(f"FINDING {each}" for each in self.findings)])


def run(server: ServerProcess, hostile: Tenant, bystander: Tenant, *, seconds: float, seed: int) -> Report:
    """Fuzz for a number of seconds, of which the first fifth measures the idle bystander."""
    report = Report(seed)
    log_before = len(server.log)
    issued = issue_device(bystander, make_user(bystander), "bystander")
    witness = Bystander(server.port, str(issued.device.pk), issued.token, _state(bystander))
    time.sleep(max(3.0, seconds * IDLE_SHARE))
    witness.mark()
    until = time.monotonic() + seconds * (1 - IDLE_SHARE)
    targets = [_target(server, hostile) for _ in ATTACKERS]
    threads = [
        threading.Thread(target=_attack, args=(kind, target, until, report), daemon=True)
        for kind, target in zip(ATTACKERS, targets, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 180)
        if thread.is_alive():
            report.findings.append("an attacker waits for a response without end")
    _judge_bystander(report, *witness.stop())
    _judge_server(report, server, log_before)
    return report


def _state(tenant: Tenant) -> dict[str, Any]:
    tenant.refresh_from_db()
    return {
        "cursor": tenant.cursor,
        "state_hash": bytes(tenant.state_hash).hex(),
        "schema_version": tenant.schema_version,
    }


def _target(server: ServerProcess, tenant: Tenant) -> Target:
    issued = issue_device(tenant, make_user(tenant), "attacker")
    return Target(server.port, tenant.slug, str(issued.device.pk), issued.token, _state(tenant))


def _attack(kind: Any, target: Target, until: float, report: Report) -> None:
    attacker = kind(target, random.Random(f"{report.seed}-{kind.name}"))
    report.answers[kind.name] = attacker.answers
    try:
        while time.monotonic() < until and len(report.findings) < MAX_FINDINGS:
            try:
                report.sent[kind.name] += attacker.step()
            except Finding as found:
                report.findings.append(f"{kind.name}: {found}")
            except Exception as error:
                report.findings.append(f"{kind.name}: the attacker failed: {error!r}")
                return
    finally:
        attacker.close()


def _judge_bystander(report: Report, idle: Latencies, busy: Latencies, problem: str) -> None:
    if problem:
        report.findings.append(f"the bystander saw an error: {problem}")
    for name in ("pushes", "hellos"):
        before, during = getattr(idle, name), getattr(busy, name)
        usual = worst_ratio(before, 0.95)
        limit = LIMIT_SECONDS * max(1.0, usual / IDLE_SECONDS)
        found = worst_ratio(during, 0.95), max(during, default=0.0)
        report.latencies |= {
            f"idle {name} p95": usual, f"{name} p95": found[0], f"worst {name}": found[1], f"limit {name}": limit
        }  # fmt: skip
        if not during:
            report.findings.append(f"the bystander had no {name} during the attack")
        elif found[0] > limit or found[1] > WORST * limit:
            report.findings.append(f"the bystander's {name} took {found[0]:.2f} s (p95), {found[1]:.2f} s (worst)")


def _judge_server(report: Report, server: ServerProcess, log_before: int) -> None:
    if server.process is None or server.process.poll() is not None:
        report.findings.append("the server ended")
        return
    try:
        with urllib.request.urlopen(f"{server.url}/health", timeout=30) as response:
            if response.status != 200:
                report.findings.append(f"/health answers {response.status}")
    except OSError as error:
        report.findings.append(f"/health: {error}")
    log = server.log[log_before:]
    if "Traceback" in log:
        report.findings.append(f"the server logged an exception:\n{log[log.index('Traceback') :][:3000]}")
