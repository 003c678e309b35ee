"""Pure: the draft of an object type and its published state, the input of a plan."""

from dataclasses import dataclass

from metadata.schema import ObjectSpec
from tenants.errors import Problem


@dataclass(frozen=True, slots=True)
class ObjectDraft:
    """The draft of an object type and what is published of it.

    `wanted` holds the fields to keep, in the draft's order. `retiring` lists fields marked as retired, `burnt` the
    names of fields retired earlier. `gone` means the type itself was retired. `problems` lists what could not be read.
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
        """Return the object name."""
        return self.wanted.object_name

    @property
    def live(self) -> ObjectSpec | None:
        """Return what clients have of it now."""
        return None if self.gone else self.published
