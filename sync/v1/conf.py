"""Typed settings of SyncProtocol v1, from `settings.MOAT`. docs/guides/operate.md explains each."""

from dataclasses import dataclass

from django.conf import settings

from sync.wire import limits


@dataclass(frozen=True, slots=True)
class V1Settings:
    """Limits and behaviour of SyncProtocol v1. Sizes are bytes, times seconds.

    `v1_body`: size of an unpacked request. `v1_items`: its values and keys, and also those of its documents.
    `v1_entity`: size of one `entityCbor`. `v1_ops`: ops per push. `v1_page`, `v1_page_max`: changes per pull, by
    default and at most. `v1_page_bytes`: total size of a page's documents.
    `v1_rate`: requests per device and minute. `v1_streams`: open event streams per device. `v1_ping`: seconds between
    pings on a stream, and between checks of its device's access. `v1_field_merge`: whether object types with the
    policy `field_merge` also merge on this protocol.
    """

    v1_body: int = limits.V1_BODY
    v1_items: int = limits.MESSAGE_ITEMS
    v1_entity: int = limits.V1_ENTITY
    v1_ops: int = limits.V1_OPS
    v1_page: int = 100
    v1_page_max: int = 1000
    v1_page_bytes: int = 8_388_608
    v1_rate: int = 1200
    v1_streams: int = 4
    v1_ping: float = 15.0
    v1_field_merge: bool = False


def v1_settings() -> V1Settings:
    """Return the current settings: `MOAT["V1_BODY"]` and so on, or the defaults."""
    given = settings.MOAT
    return V1Settings(
        **{name: given[name.upper()] for name in V1Settings.__dataclass_fields__ if name.upper() in given}
    )
