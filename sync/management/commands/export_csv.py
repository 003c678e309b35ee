"""export_csv: export an object type's records as CSV."""

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
    help = (
        "Export an object type's records as CSV or JSON lines from a consistent snapshot. "
        "import_csv can read the result."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="Tenant slug.")
        parser.add_argument("--object", required=True, dest="object_name", help="Object type name, such as job.")
        parser.add_argument(
            "--out",
            type=Path,
            metavar="FILE",
            help="Output file (default: standard output). A name ending in .gz is compressed.",
        )
        parser.add_argument(
            "--where",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            help="Only matching records. Also supports != < <= > >=, and FIELD= for empty.",
        )
        parser.add_argument(
            "--null", default="", metavar="TEXT", help="Text written for missing values (default: an empty cell)."
        )
        parser.add_argument("--json", action="store_true", help="One JSON object per line instead of CSV.")

    def handle(self, *args: Any, **given: Any) -> None:
        tenant = Tenant.objects.filter(slug=given["tenant"]).first()
        spec = published(tenant, given["object_name"]) if tenant else None
        if tenant is None or spec is None:
            raise CommandError(f"Tenant {given['tenant']!r} has no published object type {given['object_name']!r}.")
        try:
            if given["out"]:
                with _whole_file(given["out"]) as out:
                    done = _export(tenant, spec, out, given)
            else:
                done = _export(tenant, spec, self.stdout, given)
        except MoatError as error:
            raise CommandError(str(error)) from error
        self.stderr.write(f"Exported {done.records:,} records")
        if done.ambiguous:
            self.stderr.write(
                self.style.WARNING(
                    f"{done.ambiguous:,} text values look like missing values in this file. To "
                    "distinguish them, use another --null, such as '\\N'"
                )
            )


def _export(tenant: Tenant, spec: ObjectSpec, out: Writable, given: dict[str, Any]) -> Exported:
    if given["json"]:
        return export_json(tenant.pk, spec, out, where=given["where"])
    return export_csv(tenant.pk, spec, out, where=given["where"], null=given["null"])


@contextmanager
def _whole_file(path: Path) -> Iterator[Writable]:
    """Write to a temporary file and rename it at the end, so that readers never see half of it."""
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
