"""Import a CSV file into an object type, creating the type first if requested."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metadata.catalog import schema_of
from metadata.definitions import DraftType
from metadata.names import object_name_problem
from metadata.schema import ObjectSpec
from sync.csv.columns import BadColumns, ColumnPlan, plan_existing, plan_new
from sync.csv.create import FieldOptions, Inferred, create, infer
from sync.csv.load import Importer, Report
from sync.csv.rows import RowReader, key_columns
from sync.csv.source import open_csv
from sync.wire.ops import Actor
from tenants.errors import MoatError
from tenants.models import Tenant

DEFAULT_NULLS = frozenset({"", "NA"})
Progress = Callable[[str, int, int, Report | None], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a file and import it. docs/guides/import-export.md explains each option."""

    create: bool = False
    table: str = ""
    key: tuple[str, ...] = ()
    mapping: tuple[tuple[str, str], ...] = ()
    skip: tuple[str, ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    nulls: frozenset[str] = DEFAULT_NULLS
    null_missing: bool = False
    batch: int = 2000
    dry_run: bool = False
    keep_going: bool = False
    encoding: str = "utf-8"
    delimiter: str = ""


@dataclass(slots=True)
class ImportResult:
    """The result: the object type, whether it was created, the report, and notes."""

    object_name: str
    table: str
    created: bool
    report: Report
    seconds: float
    notes: list[str] = field(default_factory=list)
    inferred: DraftType | None = None

    @property
    def complete(self) -> bool:
        """Whether every row of the file is in the table (in a dry run: could be)."""
        return not self.report.refused and not self.report.stopped

    def wire(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        report = self.report
        return {
            "object": self.object_name,
            "table": self.table,
            "created": self.created,
            "complete": self.complete,
            "rows": report.rows,
            "imported": report.imported,
            "skipped": report.skipped,
            "refused": report.refused,
            "stopped": report.stopped,
            "nulled_references": report.nulled,
            "errors": [{"line": e.line, "column": e.column, "reason": e.reason} for e in report.errors],
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(report.imported / self.seconds) if self.seconds else None,
        }


def import_file(
    tenant: Tenant,
    object_name: str,
    path: Path,
    *,
    options: Options,
    by: str,
    progress: Progress = lambda stage, position, size, report: None,
) -> ImportResult:
    """Import a file. Bad rows are in the report.

    Raises BadFile, BadColumns, or ValidationFailed if the import could not start.
    """
    began = time.monotonic()
    spec = published(tenant, object_name)
    inferred: Inferred | None = None
    if spec is None:
        inferred = _infer(tenant, object_name, path, options, progress)
        spec = _as_spec(inferred.draft) if options.dry_run else create(tenant, inferred.draft, by=by)
    elif options.references or options.kinds:
        _check_published(spec, options)
    with open_csv(path, encoding=options.encoding, delimiter=options.delimiter) as opened:
        plan = _plan(opened.header, spec if inferred is None else None, options)
        importer = Importer(
            Actor(tenant.pk, by),
            spec,
            RowReader(plan, spec, len(opened.header), path.name, key_columns(plan, options.key), options.nulls),
            batch=options.batch,
            keep_going=options.keep_going,
            parents=_parents(tenant, spec) if options.null_missing else {},
            dry_run=options.dry_run,
            table_exists=inferred is None or not options.dry_run,
        )
        report = importer.run(
            opened.rows, progress=lambda so_far: progress("importing", opened.position(), opened.size, so_far)
        )
    notes = [*plan.notes, *(inferred.notes if inferred else ())]
    seconds = time.monotonic() - began
    made = inferred is not None and not options.dry_run
    return ImportResult(
        object_name, spec.table_name, made, report, seconds, notes, inferred.draft if inferred else None
    )


def published(tenant: Tenant, object_name: str) -> ObjectSpec | None:
    """Return a published object type of the tenant."""
    tenant.refresh_from_db()
    return schema_of(tenant.pk, tenant.schema_version).by_object.get(object_name)


def _parents(tenant: Tenant, spec: ObjectSpec) -> dict[str, ObjectSpec]:
    known = schema_of(tenant.pk, tenant.schema_version).by_table
    return {f.name: known[f.reference_table] for f in spec.fields if f.reference_table in known}


def _infer(tenant: Tenant, object_name: str, path: Path, options: Options, progress: Progress) -> Inferred:
    if not options.create:
        raise MoatError(
            "unknown_object",
            f"{tenant.slug} has no published object type {object_name!r}. To create it from the file, add --create.",
        )
    if problem := object_name_problem(object_name):
        raise MoatError("bad_name", problem)
    known = schema_of(tenant.pk, tenant.schema_version).by_object
    for name, target in options.references:
        if target not in known:
            raise BadColumns(
                f"{name} can't refer to {target!r}: {tenant.slug} has no published object type with that name."
            )
    with open_csv(path, encoding=options.encoding, delimiter=options.delimiter) as opened:
        plan = _plan(opened.header, None, options)
        key = frozenset(c.target for c in key_columns(plan, options.key))
        field_options = FieldOptions(dict(options.kinds), dict(options.references))
        progress("reading", 0, opened.size, None)
        return infer(
            opened, (object_name, options.table), plan, field_options=field_options, nulls=options.nulls, key=key
        )


def _plan(header: list[str], spec: ObjectSpec | None, options: Options) -> ColumnPlan:
    if spec is None:
        return plan_new(header, mapping=options.mapping, skip=options.skip)
    return plan_existing(header, spec, mapping=options.mapping, skip=options.skip)


def _as_spec(draft: DraftType) -> ObjectSpec:
    """Return the draft as if it were published, for a dry run."""
    record = {
        "table_name": draft.table_name or draft.object_name,
        "label": draft.label,
        "title_field": draft.title_field,
        "subtypes": [{"value": v, "label": label} for v, label in draft.subtypes],
        "statuses": [{"value": s[0], "label": s[1]} for s in draft.statuses],
        "fields": [
            {"name": f.name, "kind": f.kind, "label": f.label, "decimal_places": f.decimal_places} for f in draft.fields
        ],
    }
    return ObjectSpec.from_record(draft.object_name, record)


def _check_published(spec: ObjectSpec, options: Options) -> None:
    """Reject options that contradict published fields: an import never changes them."""
    for name, target in options.references:
        if name not in spec.by_name or spec.by_name[name].reference != target:
            raise BadColumns(f"{spec.object_name}.{name} is already published and is not a reference to {target}.")
    for name, kind in options.kinds:
        if name not in spec.by_name or spec.by_name[name].kind != kind:
            raise BadColumns(f"{spec.object_name}.{name} is already published with a kind other than {kind}.")
