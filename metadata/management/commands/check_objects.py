"""check_objects: compare the type tables with the definitions."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metadata.doctor import examine
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Compare the tables of object types with their definitions, and name every difference. Exits with 1 when there is one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="Slug of one tenant; all when left out.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = None
        if options["tenant"] is not None:
            tenant = Tenant.objects.filter(slug=options["tenant"]).first()
            if tenant is None:
                raise CommandError(f"There is no tenant {options['tenant']!r}.")
        found = examine(tenant)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not found, "drift": [asdict(drift) for drift in found]}))
        else:
            for drift in found:
                self.stdout.write(f"{drift.tenant or '-'}: {drift.table}: {drift.message} [{drift.code}]")
            self.stdout.write(f"{len(found)} differences." if found else "The database is as the definitions say.")
        if found:
            sys.exit(1)
