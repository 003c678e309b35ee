"""Signals of the layouts app."""

from django.dispatch import Signal

#: Sent inside the saving transaction, under the tenant lock, with `locked`, `layout_id`, `old` and `new` (records or
#: None), and `by`.
layout_changed = Signal()
