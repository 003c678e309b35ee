"""A resolver that an application might define."""

from sync.settle.resolvers import Answer, EditConflict, Merged


class Longest:
    """Resolves every conflict with the title `both`."""

    def resolve(self, clash: EditConflict) -> Answer:
        return Merged({"title": "both"})
