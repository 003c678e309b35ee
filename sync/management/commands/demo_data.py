"""demo_data: load the demo tenant acme."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from rich.box import ROUNDED
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from sync.demo import acme
from sync.demo.loading import MEMBERS, SUPERUSER, is_complete, load_acme, remove_tenant

ROLES = {
    SUPERUSER: "superuser, all tenants",
    "olga": "office, tenant admin of acme",
    "tom": "technician, sees only their own jobs",
    "tess": "technician, sees only their own jobs",
}


class Command(BaseCommand):
    help = (
        "Load the demo tenant acme with users, object types, layouts, and records. Running "
        "it again adds only what is missing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--if-missing",
            action="store_true",
            help="Do nothing if the demo was already loaded completely, even if records were deleted since.",
        )
        parser.add_argument(
            "--reset",
            action="store_true",
            help="First delete the tenant, all its data, and its users' passwords.",
        )

    def handle(self, *args: Any, **given: Any) -> None:
        if given["reset"]:
            remove_tenant(acme.TENANT[0])
            User.objects.filter(username__in=[SUPERUSER, *MEMBERS]).delete()
        if given["if_missing"] and is_complete():
            self.stdout.write("The demo data is already loaded. Nothing changed.")
        else:
            done = load_acme()
            self.stdout.write(
                f"Added {done.object_types} object types, {done.layouts} layouts, and {done.records} records."
            )
        self._show_ways_in()

    def _show_ways_in(self) -> None:
        base = f"http://localhost:{settings.PORT}"
        ways = Table.grid(padding=(0, 2))
        for name, where in (
            ("Admin", f"{base}/admin/"),
            ("App", f"{base}/app/"),
            ("REST API", f"{base}/api/"),
            ("Live sync", f"ws://localhost:{settings.PORT}/ws/sync"),
        ):
            ways.add_row(name, where)
        ways.add_row("Data", str(settings.DATA_DIR))
        ways.add_row("", "")
        ways.add_row("Sign in as", "password")
        for user, role in ROLES.items():
            ways.add_row(user, f"{user}   ({role})")
        ways.add_row("", "")
        ways.add_row("Replica", f".venv/bin/moat login {base} --tenant acme --user tom --password tom --db tom.db")
        ways.add_row("", ".venv/bin/moat sync --db tom.db --follow")
        panel = Panel(
            ways,
            title="Moat",
            subtitle="Demo passwords: don't expose this server to the internet",
            box=ROUNDED,
            expand=False,
            padding=(1, 2),
        )
        console = Console(file=self.stdout, width=120, force_terminal=False)  # type: ignore[arg-type]
        console.print(panel, soft_wrap=True)
