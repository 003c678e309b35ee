"""Signals of the tenants app."""

from django.dispatch import Signal

#: Sent after commit with `device_id=str`: the device may not stay connected (revoked, its user inactive or no longer a member).
device_revoked = Signal()

#: Sent after commit with `tenant_id=int`: what somebody in the tenant may see could have changed.
access_changed = Signal()
