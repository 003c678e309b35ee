"""trim_columns: destroy retired columns and tables."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metadata.trim import remnants, trim
from tenants.errors import MoatError
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Drop the columns and tables of retired fields and object types, with all their values, for good. Asks first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="Slug of one tenant; all when left out.")
        parser.add_argument("--dry-run", action="store_true", help="List what would be dropped, and change nothing.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = Tenant.objects.order_by("slug")
        if options["tenant"] is not None:
            tenants = tenants.filter(slug=options["tenant"])
            if not tenants:
                raise CommandError(f"There is no tenant {options['tenant']!r}.")
        found = {tenant: left for tenant in tenants if (left := remnants(tenant.pk))}
        for tenant, left in found.items():
            for remnant in left:
                self.stdout.write(f"{tenant.slug}: {remnant.words()}")
        if not found:
            self.stdout.write("Nothing to trim.")
            return
        if options["dry_run"]:
            return
        if not options["yes"] and not self._agreed():
            raise CommandError("Nothing was dropped.")
        for tenant in found:
            try:
                dropped = trim(tenant.pk)
            except MoatError as error:
                raise CommandError(f"{tenant.slug}: {error.message}") from error
            self.stdout.write(f"{tenant.slug}: dropped {len(dropped)}.")

    def _agreed(self) -> bool:
        try:
            return input('These values are lost for good. Type "yes" to drop them: ').strip() == "yes"
        except EOFError:
            return False
