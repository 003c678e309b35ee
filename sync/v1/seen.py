"""The one place where SyncProtocol v1 meets channels: what a device's channel lets it see of the log, of records and of bytes."""

from collections.abc import Iterable, Iterator
from typing import Any

from sync.channels import Channel
from sync.commits import Commit
from sync.lines import decode_line


def changes(channel: Channel, commits: Iterable[Commit]) -> Iterator[dict[str, Any]]:
    """Yield the changes of a piece of the log as the channel has them, decoded."""
    for commit in commits:
        for line in channel.project([line for _, line in commit.lines]):
            yield decode_line(line)
