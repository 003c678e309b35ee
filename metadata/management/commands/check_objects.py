"""check_objects: compare the type tables with their definitions."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metadata.doctor import examine
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Compare object type tables with their definitions and list every difference. Exits with 1 if any differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="Tenant slug (default: all tenants).")
        parser.add_argument("--json", action="store_true", help="Print the result as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = None
        if options["tenant"] is not None:
            tenant = Tenant.objects.filter(slug=options["tenant"]).first()
            if tenant is None:
                raise CommandError(f"Unknown tenant: {options['tenant']!r}.")
        found = examine(tenant)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not found, "drift": [asdict(drift) for drift in found]}))
        else:
            for drift in found:
                self.stdout.write(f"{drift.tenant or '-'}: {drift.table}: {drift.message} [{drift.code}]")
            count = f"{len(found)} difference{'' if len(found) == 1 else 's'}."
            self.stdout.write(count if found else "The database matches the definitions.")
        if found:
            sys.exit(1)
