"""One page of records in the admin: search, filters, sort order, and paging, as wire values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import QueryDict

from metadata.fieldtypes import InvalidValue, clean
from metadata.schema import FieldSpec, ObjectSpec, TenantSchema
from sync.csv.cells import reader_of
from sync.records import sql
from sync.records.rows import Row, records, table_of

PER_PAGE = 100
MAX_COLUMNS = 6
FILTER, SINCE = "f.", "since."  # no field name contains a dot
_SEARCHED = ("text", "choice", "reference", "uuid")
_SYSTEM = ("object_type", "status")


@dataclass(frozen=True, slots=True)
class Link:
    """One choice of a filter in the sidebar."""

    label: str
    query: str
    selected: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter in the sidebar."""

    title: str
    links: list[Link]


@dataclass(frozen=True, slots=True)
class Header:
    """A column heading. `order` is "ascending", "descending", or empty."""

    label: str
    query: str
    order: str
    numeric: bool = False


@dataclass(slots=True)
class Listing:
    """The query string's request of one table. Build it, then read `rows`, `count`, and the page parts."""

    tenant_id: int
    spec: ObjectSpec
    query: QueryDict
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    problems: list[str] = field(default_factory=list)
    count: int = 0
    rows: list[Row] = field(default_factory=list)
    _where: list[str] = field(default_factory=list)
    _values: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        table = table_of(self.tenant_id, self.spec)
        self._where.append(f'{"NOT" if table.vendor == "postgresql" else "0 ="} "{table.name}"."_deleted"')
        self._search(self.query.get("q", "").strip())
        for key in self.query:
            self._filter(key, self.query.get(key, ""))
        if self.problems:
            return
        where = " AND ".join(self._where)
        self.count = int((sql.fetch_one(f'SELECT count(*) FROM "{table.name}" WHERE {where}', self._values) or (0,))[0])
        span = f"LIMIT {PER_PAGE} OFFSET {(self.page - 1) * PER_PAGE}"
        statement = f"{table.select} WHERE {where} ORDER BY {self._order_by()} {span}"
        self.rows = [Row(table, raw) for raw in sql.fetch(statement, self._values)]

    @property
    def pages(self) -> int:
        """The number of pages, at least one."""
        return max(1, -(-self.count // PER_PAGE))

    @property
    def page(self) -> int:
        """The requested page, from 1, clamped to the available pages."""
        asked = self.query.get("p", "1")
        return min(max(1, int(asked) if asked.isdecimal() and len(asked) < 10 else 1), self.pages)

    def with_query(self, **changes: str | None) -> str:
        """Return the query string with keys changed, or removed if None. The page number is reset."""
        copy = self.query.copy()
        copy.pop("p", None)
        for key, value in changes.items():
            copy.pop(key, None)
            if value is not None:
                copy[key] = value
        return f"?{copy.urlencode()}"

    @property
    def columns(self) -> list[str]:
        """The names of the columns shown, title column first."""
        first = self.spec.title_field if self.spec.title_field in self.spec.by_name else "id"
        names = [first, *(n for n, c in zip(_SYSTEM, (self.spec.subtypes, self.spec.statuses), strict=True) if c)]
        names += [f.name for f in self.spec.fields if f.kind != "json" and f.name not in names]
        return names[:MAX_COLUMNS]

    @property
    def headers(self) -> list[Header]:
        """The headings, each with the query that sorts by it."""
        now = self.query.get("o", "")
        return [self._header(name, now) for name in self.columns]

    def _header(self, name: str, now: str) -> Header:
        order = "ascending" if now == name else "descending" if now == f"-{name}" else ""
        numeric = name in self.spec.by_name and self.spec.by_name[name].kind in ("integer", "real", "decimal")
        return Header(label_of(self.spec, name), self.with_query(o=f"-{name}" if now == name else name), order, numeric)

    @property
    def filters(self) -> list[Filter]:
        """The sidebar: subtypes, statuses, choices, yes/no, dates, and other active filters."""
        return list(self._filters())

    def _filters(self) -> Iterator[Filter]:
        for name, choices in zip(_SYSTEM, (self.spec.subtypes, self.spec.statuses), strict=True):
            if choices:
                yield self._choice_filter(name, {c.value: c.label for c in choices})
        for item in self.spec.fields:
            if item.kind == "choice":
                yield self._choice_filter(item.name, {c.value: c.label for c in item.choices})
            elif item.kind == "boolean":
                yield self._choice_filter(item.name, {"true": "Yes", "false": "No"})
            elif item.kind in ("date", "datetime"):
                yield self._date_filter(item)
            elif (value := self.query.get(FILTER + item.name)) is not None:
                yield self._choice_filter(item.name, {value: value or "(empty)"})

    def _choice_filter(self, name: str, choices: Mapping[str, str]) -> Filter:
        return self._links(label_of(self.spec, name), FILTER + name, [(None, "All"), *choices.items()])

    def _date_filter(self, item: FieldSpec) -> Filter:
        today = self.today
        since = {"Today": today, "Past 7 days": today - timedelta(days=7), "This month": today.replace(day=1)}
        since["This year"] = today.replace(month=1, day=1)
        return self._links(
            item.label, SINCE + item.name, [(None, "Any date"), *((d.isoformat(), label) for label, d in since.items())]
        )

    def _links(self, title: str, key: str, choices: list[tuple[str | None, str]]) -> Filter:
        now = self.query.get(key)
        return Filter(title, [Link(label, self.with_query(**{key: value}), value == now) for value, label in choices])

    def _search(self, text: str) -> None:
        for word in text.split()[:8]:
            pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            names = ["id", *(f.name for f in self.spec.fields if f.kind in _SEARCHED)]
            table = table_of(self.tenant_id, self.spec)
            pg = table.vendor == "postgresql"
            like = "ILIKE" if pg else "LIKE"
            self._where.append(
                "("
                + " OR ".join(f'"{table.name}"."{n}"{"::text" if pg else ""} {like} %s ESCAPE \'\\\'' for n in names)
                + ")"
            )
            self._values += [pattern.replace("\0", "")] * len(names)

    def _filter(self, key: str, value: str) -> None:
        prefix = next((p for p in (FILTER, SINCE) if key.startswith(p)), None)
        if prefix is None:
            return
        name = key.removeprefix(prefix)
        item = self.spec.by_name.get(name) or (FieldSpec(name, "text") if name in _SYSTEM else None)
        if item is None or item.kind == "json":
            self.problems.append(f"Unknown filter field: {name!r}.")
            return
        table = table_of(self.tenant_id, self.spec)
        column = f'"{table.name}"."{name}"'
        if not value:
            self._where.append(f"{column} IS NULL")
            return
        try:
            wire = _since(item, value) if prefix == SINCE else clean(item, reader_of(item.kind)(value))
        except (ValueError, InvalidValue) as error:
            self.problems.append(f"{item.label or name}: {error}.")
            return
        self._where.append(f"{column} {'>=' if prefix == SINCE else '='} %s")
        self._values.append(table.binders[name](wire) if name in table.binders else wire)

    def _order_by(self) -> str:
        table = table_of(self.tenant_id, self.spec)
        asked = self.query.get("o", "")
        name = asked.removeprefix("-")
        field_ = self.spec.by_name.get(name)
        if name not in ("id", *_SYSTEM) and (field_ is None or field_.kind == "json"):
            return f'"{table.name}"."_cursor" DESC'
        return f'"{table.name}"."{name}" {"DESC" if asked.startswith("-") else "ASC"}, "{table.name}"."id"'


def _since(item: FieldSpec, value: str) -> Any:
    day = date.fromisoformat(value)
    return day.isoformat() if item.kind == "date" else clean(item, f"{day.isoformat()}T00:00:00Z")


def label_of(spec: ObjectSpec, name: str) -> str:
    """Return a field's display name."""
    if name in spec.by_name:
        return spec.by_name[name].label or name
    return {"id": "ID", "object_type": "Type", "status": "Status", "version": "Version"}.get(name, name)


def title_of(spec: ObjectSpec, row: Row) -> str:
    """Return a record's title: its title field, or its ID."""
    title = row.get(spec.title_field) if spec.title_field in spec.by_name else None
    return str(title) if title not in (None, "") else row.id


def reference_titles(
    tenant_id: int, schema: TenantSchema, spec: ObjectSpec, rows: list[Row]
) -> dict[tuple[str, str], str]:
    """Return the titles of all records that these rows reference, by (table, ID)."""
    wanted: dict[str, set[str]] = {}
    for item in spec.fields:
        if item.reference_table:
            wanted.setdefault(item.reference_table, set()).update(v for row in rows if (v := row.get(item.name)))
    return titles_of(tenant_id, schema, wanted)


def titles_of(tenant_id: int, schema: TenantSchema, wanted: Mapping[str, set[str]]) -> dict[tuple[str, str], str]:
    """Return titles of records by (table, ID). Tables that are no longer published have none."""
    return {
        (table, found.id): title_of(schema.by_table[table], found)
        for table, ids in wanted.items()
        if table in schema.by_table
        for found in records(tenant_id, schema.by_table[table], sorted(ids)).values()
    }
