"""prune_changes: shorten the log."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.log.prune import prune
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Prune old changes from the log, keeping everything that active devices still need. "
        "Devices away longer than --keep-days catch up by rows and keep their pending edits."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="Tenant slug (default: all tenants).")
        parser.add_argument(
            "--keep-days",
            type=int,
            default=30,
            help="Days of changes to keep, and days after which a device counts as inactive (default: 30).",
        )
        parser.add_argument(
            "--keep-changes", type=int, default=1000, help="Minimum number of recent changes to keep (default: 1000)."
        )
        parser.add_argument("--dry-run", action="store_true", help="Show what would be pruned without pruning.")
        parser.add_argument("--json", action="store_true", help="Print the result as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["keep_days"] < 0 or options["keep_changes"] < 0:
            raise CommandError("--keep-days and --keep-changes must be 0 or more.")
        tenants = (
            Tenant.objects.filter(slug=options["tenant"]) if options["tenant"] is not None else Tenant.objects.all()
        )
        if options["tenant"] is not None and not tenants:
            raise CommandError(f"Unknown tenant: {options['tenant']!r}.")
        done: dict[str, dict[str, Any]] = {}
        for tenant in tenants:
            pruned = prune(tenant.pk, options["keep_days"], options["keep_changes"], dry_run=options["dry_run"])
            done[tenant.slug] = asdict(pruned)
            if not options["json"]:
                verb = "would prune" if options["dry_run"] else "pruned"
                what = (
                    f"{pruned.changes} changes up to cursor {pruned.floor} and the values of "
                    f"{pruned.tombstones} tombstones"
                )
                self.stdout.write(f"{tenant.slug}: {verb} {what}")
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], "tenants": done}))
