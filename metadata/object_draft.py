"""Pure: an object type as an admin wants it, beside what is published of it; the input of a plan."""

from dataclasses import dataclass

from metadata.schema import ObjectSpec
from tenants.errors import Problem


@dataclass(frozen=True, slots=True)
class ObjectDraft:
    """A draft of an object type beside what is published of it.

    `wanted` holds the fields that shall live, in the draft's order. `retiring` are fields marked retired, `burnt` names of
    fields retired before; `gone` says that the type itself was. `problems` is what could not even be read.
    """

    wanted: ObjectSpec
    published: ObjectSpec | None = None
    retired: bool = False
    gone: bool = False
    retiring: frozenset[str] = frozenset()
    burnt: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """The object name."""
        return self.wanted.object_name

    @property
    def live(self) -> ObjectSpec | None:
        """What clients have of it now."""
        return None if self.gone else self.published
