"""Keep `sync.settle.resolvers` working in settings; resolvers live in `sync.settle.resolvers`."""

from sync.settle.resolvers import *  # noqa: F403
