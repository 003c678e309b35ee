"""Random drops, crashes between any two actions, edits on both sides, publishing, and pruning.

Everything converges; nothing is lost or applied twice.
"""

import random
import tempfile
from pathlib import Path

from fake_tenant import FakeTenant, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig import Rig

from moat_client.engine import State
from moat_client.errors import InvalidEdit

ACTIONS = (
    ["step"] * 10
    + ["edit"] * 3
    + [
        "transaction",
        "insert",
        "delete",
        "theirs",
        "theirs",
        "their_delete",
        "drop",
        "crash",
        "restart",
        "publish",
        "prune",
        "lose",
        "twice",
    ]
)


class Story:
    """One run: a tenant, two clients, and a dice."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.dice = random.Random(seed)
        self.tenant = FakeTenant()
        self.tenant.publish()
        self.tenant.prefer_snapshot = self.dice.random() < 0.5
        for n in range(4):
            self.tenant.change("jobs", f"job-{n}", "insert", {"title": f"Job {n}", "attrs": {"n": n}})
        self.rigs = [Rig(self.tenant, folder, f"d{n}") for n in (1, 2)]
        self.made: dict[str, set[int]] = {rig.device: set() for rig in self.rigs}
        self.n = 0

    def mark(self) -> str:
        self.n += 1
        return f"mark {self.n}"

    def act(self, name: str) -> None:
        rig = self.dice.choice(self.rigs)
        getattr(self, f"_{name}")(rig)
        for each in self.rigs:
            with each.replica.store.read() as (con, _):
                self.made[each.device] |= {op_id for (op_id,) in con.execute("SELECT op_id FROM main.overlays")}

    def _step(self, rig: Rig) -> None:
        for _ in range(self.dice.randint(1, 4)):
            rig.step()

    def _one(self, rig: Rig) -> str | None:
        ids = (
            [r["id"] for r in rig.replica.find("jobs")]
            if any(o.table_name == "jobs" for o in rig.replica.objects())
            else []
        )
        return self.dice.choice(ids) if ids else None

    def _edit(self, rig: Rig) -> None:
        if record_id := self._one(rig):
            value = {"title": self.mark()} if self.dice.random() < 0.5 else {"attrs": {self.dice.choice("abc"): self.n}}
            rig.replica.update("jobs", record_id, value)

    def _transaction(self, rig: Rig) -> None:
        if record_id := self._one(rig):
            with rig.replica.transaction() as tx:
                tx.update("jobs", record_id, {"title": self.mark()})
                tx.insert("jobs", {"title": self.mark()}, record_id=f"{rig.device}-{self.n}")

    def _insert(self, rig: Rig) -> None:
        if self._one(rig):
            rig.replica.insert("jobs", {"title": self.mark(), "price": "3.30"}, record_id=f"{rig.device}-{self.n}")

    def _delete(self, rig: Rig) -> None:
        if (record_id := self._one(rig)) and self.dice.random() < 0.4:
            rig.replica.delete("jobs", record_id)

    def _theirs(self, rig: Rig) -> None:
        if ids := list(self.tenant.records["jobs"]):
            self.tenant.change(
                "jobs", self.dice.choice(ids), "update", [{"op": "replace", "path": "/title", "value": self.mark()}]
            )

    def _their_delete(self, rig: Rig) -> None:
        if (ids := list(self.tenant.records["jobs"])) and self.dice.random() < 0.4:
            self.tenant.change("jobs", self.dice.choice(ids), "delete", None)

    def _drop(self, rig: Rig) -> None:
        if rig.session is not None and not rig.opening:
            rig.drop()

    def _crash(self, rig: Rig) -> None:
        rig.crash_after = self.dice.randint(0, 3)

    def _restart(self, rig: Rig) -> None:
        rig.restart()

    def _publish(self, rig: Rig) -> None:
        if self.tenant.schema_version < 5:
            new = field(f"extra{self.tenant.schema_version}", "json", default=[self.tenant.schema_version])
            fields = [*next(iter(self.tenant.records["object_metadata"].values()))["fields"], new]
            self.tenant.publish(fields=fields, commands=[{"command": "add_column", "table": "jobs", "column": new}])

    def _prune(self, rig: Rig) -> None:
        self.tenant.pruned = self.dice.randint(self.tenant.pruned, self.tenant.cursor)

    def _lose(self, rig: Rig) -> None:
        """A frame vanishes (a server would not do that): the gap must be noticed."""
        if (
            rig.down
            and b"changes" in (first := rig.down[0] if isinstance(rig.down[0], bytes) else rig.down[0].encode())
            and first
        ):
            rig.down.popleft()

    def _twice(self, rig: Rig) -> None:
        if rig.down and isinstance(rig.down[0], str) and '"changes"' in rig.down[0]:
            rig.down.appendleft(rig.down[0])

    def heal(self) -> None:
        for rig in self.rigs:
            rig.crash_after = None
        for _ in range(3):
            for rig in self.rigs:
                rig.local = True
                rig.settle()

    def check(self) -> None:
        applied = self.tenant.applied_ops
        assert len(applied) == len(set(applied)), "an op was applied twice"
        for rig in self.rigs:
            rig.assert_in_step()
            assert rig.replica.status().pending == 0
            problems = {p.op_id for p in rig.replica.conflicts()}
            done = {op_id for device, op_id in applied if device == rig.device}
            assert self.made[rig.device] <= done | problems, "an op was lost"
            assert not done & problems, "an accepted op is shown as a problem"
            assert rig.shown() == self.rigs[0].shown()

    def close(self) -> None:
        for rig in self.rigs:
            rig.backend.close()
            rig.replica.close()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.lists(st.sampled_from(ACTIONS), min_size=10, max_size=80))
def test_whatever_happens_replicas_converge_and_every_op_is_applied_once_or_shown(
    seed: int, actions: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(seed, Path(folder))
        try:
            for action in actions:
                try:
                    story.act(action)
                except InvalidEdit:
                    continue
            story.heal()
            story.check()
        finally:
            story.close()


def test_a_client_killed_after_every_single_action_still_arrives(tmp_path: Path) -> None:
    for crash_at in range(0, 14):
        folder = tmp_path / str(crash_at)
        folder.mkdir()
        story = Story(crash_at, folder)
        rig = story.rigs[0]
        rig.crash_after = crash_at
        rig.settle()
        rig.replica.update("jobs", "job-1", {"title": "mine"})
        rig.crash_after = crash_at
        rig.settle()
        story.heal()
        story.check()
        assert story.tenant.records["jobs"]["job-1"]["title"] == "mine"
        assert rig.state is State.LIVE
        story.close()
