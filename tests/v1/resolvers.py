"""A resolver that an application might have."""

from sync.settle.resolvers import Answer, EditConflict, Merged


class Longest:
    """Takes note that both sides wrote."""

    def resolve(self, clash: EditConflict) -> Answer:
        return Merged({"title": "both"})
