"""`manage.py new_epoch`: after a restore from backup, tell every client that the log is another one."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.log.epoch import renew
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Draw a new server_epoch after the database was restored from a backup. Clients that were ahead of the backup are "
        "told in plain words instead of merging blindly; their pending edits are kept. Stop the servers before."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = parser.add_mutually_exclusive_group(required=True)
        chosen.add_argument(
            "--tenant", action="append", metavar="SLUG", help="Only this tenant; may be given several times."
        )
        chosen.add_argument("--all", action="store_true", help="Every tenant.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = list(Tenant.objects.all() if options["all"] else Tenant.objects.filter(slug__in=options["tenant"]))
        missing = set(options["tenant"] or ()) - {tenant.slug for tenant in tenants}
        if missing:
            raise CommandError(f"There is no tenant {', '.join(sorted(missing))}.")
        for tenant in tenants:
            self.stdout.write(f"{tenant.slug}: {renew(tenant.pk)}")
