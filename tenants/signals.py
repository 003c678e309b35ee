"""Signals of the tenants app."""

from django.dispatch import Signal

#: Sent after commit with `device_id=str`: the device must be disconnected because it was revoked, or its user was
#: deactivated or is no longer a member.
device_revoked = Signal()

#: Sent after commit with `tenant_id=int`: the access of any member of the tenant may have changed.
access_changed = Signal()
