"""Devices of members with security profiles, and a simple client that holds what it receives."""

import contextlib
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User

from metadata.access_store import access_of
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.entities.cbor import decode
from sync.entities.ops import Operation, Page
from sync.errors import AccessChanged
from sync.v1.pull import pull
from sync.v1.pull_state import CursorInvalid
from sync.wire.ops import Actor
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.v1.conftest import Door

Key = tuple[str, str]


class Member(Door):
    """A user's device, with the user's current access."""

    def __init__(self, tenant: Tenant, user: User) -> None:
        self.tenant, self.user = tenant, user
        self.issued = issue_device(tenant, user, "v1")
        self.actor = Actor(tenant.pk, user.username, self.issued.device.pk, user_id=user.pk)
        self.number = 0

    def channel(self) -> Channel:
        return channel_log.channel_for(access_of(self.tenant.pk, self.user.pk), self.tenant.slug)

    def pull(
        self, since: int = 0, limit: int = 1000, collections: list[str] | None = None, *, stream: bool = False
    ) -> Page:
        while True:
            try:
                return pull(self.channel(), self.actor.device_id or "", since, limit, collections, stream=stream)
            except AccessChanged:
                continue


class Holder:
    """The data of a device that applies everything it receives and deletes nothing on its own."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.cursor = 0
        self.held: dict[Key, tuple[int, bytes]] = {}
        self.received: list[Operation] = []
        self.starts = 0

    def step(self, limit: int) -> bool:
        """Pull one page. Return whether there are more."""
        try:
            page = self.member.pull(self.cursor, limit)
        except CursorInvalid:
            assert self.cursor, "a start at 0 is never refused"
            self.cursor, self.starts = 0, self.starts + 1
            return True
        assert [op.cursor for op in page.ops] == sorted({op.cursor for op in page.ops})
        assert all(self.cursor < op.cursor <= page.next_cursor for op in page.ops)
        for op in page.ops:
            self.take(op)
        assert page.next_cursor > self.cursor or not page.has_more
        self.cursor = page.next_cursor
        return page.has_more

    def receive(self, limit: int) -> None:
        """Apply an event stream's content after the cursor, without confirming it."""
        with contextlib.suppress(CursorInvalid):
            for op in self.member.pull(self.cursor, limit, stream=True).ops:
                self.take(op)

    def take(self, op: Operation) -> None:
        self.received.append(op)
        key = (op.collection, op.entity_id)
        if op.verb == "delete":
            assert op.body is None
            self.held.pop(key, None)
        else:
            assert op.body is not None
            self.held[key] = (op.version, op.body)

    def sync(self, limit: int = 1000) -> "Holder":
        for _ in range(500):
            if not self.step(limit):
                return self
        raise AssertionError("pages without end")

    def documents(self) -> Mapping[Key, Any]:
        return {key: decode(body) for key, (_, body) in self.held.items()}

    def ids(self, table: str) -> set[str]:
        return {record for name, record in self.held if name == table}
