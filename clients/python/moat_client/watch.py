"""The old place of `Watch`, for one release. Use `from moat_client import Watch`."""

from moat_client.deprecated import old_names
from moat_client.replica import watch as _watch

__getattr__ = old_names(__name__, {"Watch": ("moat_client.Watch", _watch.Watch)})
