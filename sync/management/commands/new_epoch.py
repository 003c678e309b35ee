"""new_epoch: mark the log as a different one after a restore from backup."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.log.epoch import renew
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Set a new server_epoch after restoring the database from a backup. Clients ahead of "
        "the backup then ask their user to start over instead of merging blindly; pending "
        "edits are kept. Stop all servers first."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = parser.add_mutually_exclusive_group(required=True)
        chosen.add_argument("--tenant", action="append", metavar="SLUG", help="Only this tenant. Repeatable.")
        chosen.add_argument("--all", action="store_true", help="All tenants.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = list(Tenant.objects.all() if options["all"] else Tenant.objects.filter(slug__in=options["tenant"]))
        missing = set(options["tenant"] or ()) - {tenant.slug for tenant in tenants}
        if missing:
            raise CommandError(f"Unknown tenant: {', '.join(sorted(missing))}.")
        for tenant in tenants:
            self.stdout.write(f"{tenant.slug}: {renew(tenant.pk)}")
