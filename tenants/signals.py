"""Signals of the tenants app."""

from django.dispatch import Signal

#: Sent after commit with `device_id=str`: the device may not stay connected (revoked, its user inactive or no longer a member).
device_revoked = Signal()
