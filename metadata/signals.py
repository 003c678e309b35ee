"""Signals of the metadata app, sent inside the publish transaction.

`object_types_published(sender, locked, changes, by)`: `locked` is the LockedTenant with its incremented schema_version,
`changes` a list of (object_name, old record | None, new record | None) in the form of `object_metadata`, and `by` a
user name.
"""

from django.dispatch import Signal

object_types_published = Signal()
