"""Export the records of an object type as CSV."""

import gzip
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError

from metadata.schema import ObjectSpec
from sync.csv.export import Exported, Writable, export_csv, export_json
from sync.csv.run import published
from tenants.errors import MoatError
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Export the records of an object type as CSV (or as JSON lines), from one state of the database. import_csv reads it back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="Slug of the tenant.")
        parser.add_argument("--object", required=True, dest="object_name", help="Name of the object type, e.g. job.")
        parser.add_argument(
            "--out",
            type=Path,
            metavar="FILE",
            help="Where to write; standard output when left out. A name in .gz is packed.",
        )
        parser.add_argument(
            "--where",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            help="Only records that fit; also != < <= > >=, and FIELD= for empty.",
        )
        parser.add_argument(
            "--null", default="", metavar="TEXT", help="What a missing value is written as (default: an empty cell)."
        )
        parser.add_argument("--json", action="store_true", help="One JSON object per line instead of CSV.")

    def handle(self, *args: Any, **given: Any) -> None:
        tenant = Tenant.objects.filter(slug=given["tenant"]).first()
        spec = published(tenant, given["object_name"]) if tenant else None
        if tenant is None or spec is None:
            raise CommandError(
                f"There is no tenant {given['tenant']!r} with a published object type {given['object_name']!r}."
            )
        try:
            if given["out"]:
                with _whole_file(given["out"]) as out:
                    done = _export(tenant, spec, out, given)
            else:
                done = _export(tenant, spec, self.stdout, given)
        except MoatError as error:
            raise CommandError(str(error)) from error
        self.stderr.write(f"{done.records:,} records exported")
        if done.ambiguous:
            self.stderr.write(
                self.style.WARNING(
                    f"{done.ambiguous:,} texts are written like a missing value; to tell them apart choose another --null, e.g. '\\N'"
                )
            )


def _export(tenant: Tenant, spec: ObjectSpec, out: Writable, given: dict[str, Any]) -> Exported:
    if given["json"]:
        return export_json(tenant.pk, spec, out, where=given["where"])
    return export_csv(tenant.pk, spec, out, where=given["where"], null=given["null"])


@contextmanager
def _whole_file(path: Path) -> Iterator[Writable]:
    """Write beside the file and rename at the end, so that nobody finds half of it."""
    part = path.with_name(f"{path.name}.part")
    try:
        with _opened(part, packed=path.suffix == ".gz") as out:
            yield out
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _opened(part: Path, *, packed: bool) -> IO[str]:
    if packed:
        return gzip.open(part, "wt", encoding="utf-8", newline="")
    return part.open("w", encoding="utf-8", newline="")
