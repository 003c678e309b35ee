"""What object types tell the layers above, inside the transaction of the publish.

`object_types_published(sender, locked, changes, by)`: `locked` is the LockedTenant with its raised schema_version, `changes` a
list of (object_name, old record | None, new record | None) in the form of `object_metadata`, `by` a user name.
"""

from django.dispatch import Signal

object_types_published = Signal()
