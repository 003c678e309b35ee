"""trim_columns: permanently drop retired columns and tables."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metadata.trim import remnants, trim
from tenants.errors import MoatError
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Permanently drop the columns and tables of retired fields and object types. Asks for confirmation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="Tenant slug (default: all tenants).")
        parser.add_argument(
            "--dry-run", action="store_true", help="List what would be dropped without changing anything."
        )
        parser.add_argument("--yes", action="store_true", help="Skip the confirmation prompt.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = Tenant.objects.order_by("slug")
        if options["tenant"] is not None:
            tenants = tenants.filter(slug=options["tenant"])
            if not tenants:
                raise CommandError(f"Unknown tenant: {options['tenant']!r}.")
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
            what = "column or table" if len(dropped) == 1 else "columns and tables"
            self.stdout.write(f"{tenant.slug}: dropped {len(dropped)} {what}.")

    def _agreed(self) -> bool:
        try:
            return input('This permanently deletes these values. Type "yes" to continue: ').strip() == "yes"
        except EOFError:
            return False
