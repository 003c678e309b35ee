"""Pure: the steps of a publish.

Each operation describes itself and renders a schema command for replicas; `sql` turns it into statements for the
server.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from metadata.schema import FieldSpec, ObjectSpec

Command = dict[str, Any]


class Operation(Protocol):
    """One step of a publish."""

    def words(self) -> str:
        """Describe the step in one line."""

    def command(self) -> Command | None:
        """Return the schema command for replicas, or None if they have nothing to do."""


@dataclass(frozen=True, slots=True)
class CreateTable:
    """Create the table of a new object type, with its indexes."""

    spec: ObjectSpec

    def words(self) -> str:
        """Describe the step in one line."""
        fields = ", ".join(f"{field.name} ({field.kind})" for field in self.spec.fields) or "no fields"
        return f"Create table {self.spec.table_name} for {self.spec.object_name}: {fields}"

    def command(self) -> Command:
        """Return the schema command."""
        return {
            "command": "create_table",
            "table": self.spec.table_name,
            "object_name": self.spec.object_name,
            "columns": [field.record() for field in self.spec.fields],
            "indexes": [field.name for field in self.spec.fields if field.has_index],
        }


@dataclass(frozen=True, slots=True)
class AddColumn:
    """Add a field to a published type; existing records get its default."""

    table: str
    field: FieldSpec

    def words(self) -> str:
        """Describe the step in one line."""
        default = "" if self.field.default is None else f", set to {self.field.default!r} in existing records"
        return f"Add column {self.table}.{self.field.name} ({self.field.kind}){default}"

    def command(self) -> Command:
        """Return the schema command."""
        return {"command": "add_column", "table": self.table, "column": self.field.record()}


@dataclass(frozen=True, slots=True)
class AddLink:
    """Make a reference a foreign key on the server. Runs after all tables exist, so types can refer to each other."""

    table: str
    field: FieldSpec

    def words(self) -> str:
        """Describe the step in one line."""
        return f"Add a foreign key from {self.table}.{self.field.name} to {self.field.reference_table}"

    def command(self) -> None:
        """Return None: a replica has no foreign keys."""


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Index a field; also `on_replicas` unless they already have its index."""

    table: str
    field: str
    unique: bool
    on_replicas: bool = True

    def words(self) -> str:
        """Describe the step in one line."""
        return f"Make values of {self.table}.{self.field} unique" if self.unique else f"Index {self.table}.{self.field}"

    def command(self) -> Command | None:
        """Return the schema command."""
        return {"command": "create_index", "table": self.table, "field": self.field} if self.on_replicas else None


@dataclass(frozen=True, slots=True)
class DropIndex:
    """Drop a field's index; also `on_replicas` unless they keep one."""

    table: str
    field: str
    unique: bool
    on_replicas: bool = True

    def words(self) -> str:
        """Describe the step in one line."""
        what = "the unique constraint" if self.unique else "the index"
        return f"Drop {what} of {self.table}.{self.field}"

    def command(self) -> Command | None:
        """Return the schema command."""
        return {"command": "drop_index", "table": self.table, "field": self.field} if self.on_replicas else None


@dataclass(frozen=True, slots=True)
class Widen:
    """Widen a field, so that it accepts every value it accepted before, and more."""

    table: str
    old: FieldSpec
    new: FieldSpec

    def words(self) -> str:
        """Describe the step in one line."""
        return f"Widen {self.table}.{self.new.name} from {self.old.kind} to {self.new.kind}"

    def command(self) -> Command:
        """Return the schema command."""
        command = {"command": "widen_column", "table": self.table, "field": self.new.name, "kind": self.new.kind}
        return command | ({"decimal_places": self.new.decimal_places} if self.new.kind == "decimal" else {})


@dataclass(frozen=True, slots=True)
class RetireColumn:
    """Remove a field from clients; the server keeps its column until it is trimmed."""

    table: str
    field: FieldSpec

    def words(self) -> str:
        """Describe the step in one line."""
        return (
            f"Retire {self.table}.{self.field.name}: clients drop the column; "
            "the server keeps its values until you run trim_columns"
        )

    def command(self) -> Command:
        """Return the schema command."""
        return {"command": "retire_column", "table": self.table, "field": self.field.name}


@dataclass(frozen=True, slots=True)
class RetireTable:
    """Remove an object type from clients; the server keeps its table until it is trimmed."""

    spec: ObjectSpec

    def words(self) -> str:
        """Describe the step in one line."""
        return (
            f"Retire {self.spec.object_name}: clients drop the table {self.spec.table_name}; "
            "the server keeps it until you run trim_columns"
        )

    def command(self) -> Command:
        """Return the schema command."""
        return {"command": "retire_table", "table": self.spec.table_name}


@dataclass(frozen=True, slots=True)
class Describe:
    """Change attributes of an object type, such as labels and allowed values, without changing tables."""

    object_name: str
    what: tuple[str, ...]

    def words(self) -> str:
        """Describe the step in one line."""
        return f"Change {self.object_name}: {', '.join(self.what)}"

    def command(self) -> None:
        """Return None: the `object_metadata` record contains everything."""


@dataclass(frozen=True, slots=True)
class DataCheck:
    """A condition that live records must meet before a change. `rule` names a function of `preconditions`."""

    rule: str
    where: str
    table: str
    column: str
    values: tuple[str, ...] = ()
    limit: int = 0
