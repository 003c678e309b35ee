"""A client without sockets: replica file, backend, engine, and a connection to a FakeTenant that the test steps."""

from collections import deque
from pathlib import Path
from typing import Any

from fake_session import FakeSession
from fake_tenant import FakeTenant

from moat_client.engine import Engine, State
from moat_client.engine import events as ev
from moat_client.engine.machine import Identity
from moat_client.login import remember_login
from moat_client.replica import Replica
from moat_client.sync.backend import Backend


class Rig:
    def __init__(self, tenant: FakeTenant, folder: Path, device: str = "d1", *, name: str = "") -> None:
        self.tenant, self.folder, self.device = tenant, folder, device
        self.path = folder / f"{name or device}.db"
        self.told: list[Any] = []
        self.verified: list[ev.Verified] = []
        self.open()
        remember_login(
            self.replica, url="https://fake", tenant=tenant.slug, user="u", device=device, token=f"token-{device}"
        )
        self.backend = Backend(self.replica)

    def open(self) -> None:
        self.replica = Replica.open(self.path)
        self.backend = Backend(self.replica)
        identity = Identity(f"token-{self.device}", self.device)
        self.engine = Engine(identity, self.replica.position(), draw=lambda: 0.5, now=lambda: "now")
        self.session: FakeSession | None = None
        self.up: deque[bytes] = deque()
        self.down: deque[str | bytes] = deque()
        self.timers: set[str] = set()
        self.crash_after: int | None = None
        self.replica.listen(lambda w: self.pending_local() if w.new_ops else None)
        self.local = False

    def pending_local(self) -> None:
        self.local = True

    def restart(self) -> None:
        """As if the process had been killed: nothing but the file survives."""
        self.backend.close()
        self.replica.close()
        self.open()

    @property
    def state(self) -> State:
        return self.engine.status.state

    def tell(self, event: ev.Event) -> None:
        """Give the engine an event and perform what it wants; a planned crash stops in the middle."""
        waiting = deque([event])
        while waiting:
            for action in self.engine.handle(waiting.popleft()):
                if self.crash_after is not None:
                    self.crash_after -= 1
                    if self.crash_after < 0:
                        self.restart()
                        return
                answer = self.perform(action)
                if answer is not None:
                    waiting.append(answer)

    def perform(self, action: ev.Action) -> ev.Event | None:
        match action:
            case ev.Send():
                self.up.append(action.data)
            case ev.Connect():
                self.connect()
            case ev.Disconnect():
                self.session = None
                self.up.clear()
                self.down.clear()
            case ev.SetTimer():
                self.timers.add(action.name)
            case ev.CancelTimer():
                self.timers.discard(action.name)
            case ev.Notify():
                self.told.append((action.code, action.message))
            case ev.Verified():
                self.verified.append(action)
            case _:
                return self.backend.perform(action)
        return None

    def connect(self) -> None:
        self.session = FakeSession(self.tenant, self.folder, {f"token-{self.device}": self.device})
        self.up.clear()
        self.down.clear()
        self.opening = True

    def drop(self) -> None:
        """The connection dies: what was on its way is lost in both directions."""
        self.session = None
        self.up.clear()
        self.down.clear()
        self.tell(ev.Disconnected(1006, "dropped"))

    def step_up(self) -> None:
        if self.session and self.up:
            self.down.extend(self.session.receive(self.up.popleft()))

    def step_down(self) -> None:
        if self.session and self.down:
            message = self.down.popleft()
            self.tell(ev.ReceivedBinary(message) if isinstance(message, bytes) else ev.Received(message.encode()))
        elif self.session and self.session.closed:
            code, self.session = self.session.closed, None
            self.tell(ev.Disconnected(code, "closed"))

    def step(self) -> bool:
        """Let one thing happen; False when there is nothing to do."""
        if self.local:
            self.local = False
            self.tell(ev.LocalChange())
            return True
        if self.session is None:
            if self.state in (State.ERROR, State.STOPPED):
                return False
            if self.state is State.OFFLINE and "retry" in self.timers:
                self.timers.discard("retry")
                self.tell(ev.TimerFired("retry"))
            else:
                self.tell(ev.Start())
            return True
        if getattr(self, "opening", False):
            self.opening = False
            self.tell(ev.Opened())
            return True
        if self.session is not None and not self.down:
            self.down.extend(self.session.live())
        if self.up:
            self.step_up()
            return True
        if self.down or self.session.closed:
            self.step_down()
            return True
        if "push" in self.timers:
            self.timers.discard("push")
            self.tell(ev.TimerFired("push"))
            return True
        return False

    def settle(self, most: int = 3000) -> None:
        """Run until nothing more happens."""
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError(f"does not come to rest: {self.engine.status}")

    def shown(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What the application sees, nulls left out."""
        return {
            t.table_name: {r["id"]: strip(r) for r in self.replica.find(t.table_name)} for t in self.replica.objects()
        }

    def assert_in_step(self) -> None:
        t = self.tenant
        assert self.state is State.LIVE, self.engine.status
        at = self.replica.position()
        assert (at.cursor, at.state_hash, at.schema_version) == (t.cursor, t.hash.hex(), t.schema_version)
        want = {
            name: {i: strip(r) for i, r in rows.items()}
            for name, rows in t.records.items()
            if name not in ("object_metadata", "layout_definition")
        }
        base = {}
        for name in want:
            with self.replica.store.read() as (con, catalog):
                table = catalog.tables[name]
                base[name] = {
                    r["id"]: strip(r)
                    for r in (table.record(row) for row in con.execute(f"SELECT {table.column_list} FROM main.{name}"))
                }
        assert base == want


def strip(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if v is not None}
