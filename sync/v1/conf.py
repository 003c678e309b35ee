"""The knobs of SyncProtocol v1, typed, from `settings.MOAT`. docs/guides/operate.md explains each."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class V1Settings:
    """How the door of SyncProtocol v1 behaves; sizes are bytes, times seconds.

    `v1_body`: a request once unpacked. `v1_entity`: one `entityCbor`. `v1_ops`: ops of one push. `v1_page`, `v1_page_max`:
    changes of a pull unless told, and at most; `v1_page_bytes`: their bodies together. `v1_rate`: requests of a device in a
    minute. `v1_streams`: event streams of one device at a time. `v1_ping`: seconds between pings on a stream, and between
    looks whether its device may stay. `v1_field_merge`: whether object types with the policy `field_merge` merge on this
    door too.
    """

    v1_body: int = 33_554_432
    v1_entity: int = 4_194_304
    v1_ops: int = 5000
    v1_page: int = 100
    v1_page_max: int = 1000
    v1_page_bytes: int = 8_388_608
    v1_rate: int = 1200
    v1_streams: int = 4
    v1_ping: float = 15.0
    v1_field_merge: bool = False


def v1_settings() -> V1Settings:
    """Return the knobs in force: `MOAT["V1_BODY"]` and so on, or the defaults."""
    given = settings.MOAT
    return V1Settings(
        **{name: given[name.upper()] for name in V1Settings.__dataclass_fields__ if name.upper() in given}
    )
