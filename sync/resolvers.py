"""Keep `sync.resolvers` working in settings and imports for one release. The code is in `sync.settle.resolvers`."""

from sync.settle.resolvers import Accept, Answer, Ask, EditConflict, Merged, Reject, Resolver

Meeting = EditConflict
"""The former name of `EditConflict`."""

__all__ = ["Accept", "Answer", "Ask", "EditConflict", "Meeting", "Merged", "Reject", "Resolver"]
