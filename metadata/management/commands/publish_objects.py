"""publish_objects: publish draft object types, as the admin's action does."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metadata.publish import Publication, publish
from tenants.errors import MoatError, ValidationFailed
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Publish a tenant's draft object types: create or alter their tables, increment schema_version, and notify "
        "every client. If a draft is invalid, exits with 1 and changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="Tenant slug.")
        parser.add_argument(
            "--object",
            action="append",
            dest="objects",
            metavar="NAME",
            help="Publish only this object type. Repeatable.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Show the plan and its SQL without changing anything."
        )
        parser.add_argument("--json", action="store_true", help="Print the result as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"Unknown tenant: {options['tenant']!r}.")
        try:
            done = publish(tenant.pk, options["objects"], dry_run=options["dry_run"])
        except MoatError as error:
            self._report_error(error, as_json=options["json"])
        else:
            self._report(done, dry_run=options["dry_run"], as_json=options["json"])

    def _report_error(self, error: MoatError, *, as_json: bool) -> None:
        problems = error.problems if isinstance(error, ValidationFailed) else []
        if as_json:
            answer = {"ok": False, "code": error.code, "message": error.message}
            listed = [{"where": p.where, "code": p.code, "message": p.message} for p in problems]
            self.stdout.write(json.dumps(answer | {"problems": listed}))
        for problem in problems:
            self.stderr.write(f"{problem.where}: {problem.message}")
        raise CommandError("Nothing was published." if problems else error.message)

    def _report(self, done: Publication, *, dry_run: bool, as_json: bool) -> None:
        if as_json:
            answer = {"ok": True, "dry_run": dry_run, "schema_version": done.schema_version}
            self.stdout.write(json.dumps(answer | {"plan": done.plan, "sql": done.sql, "commands": done.commands}))
            return
        if not done.plan:
            self.stdout.write(f"Nothing to publish. Schema version is {done.schema_version}.")
            return
        for line in done.plan:
            self.stdout.write(line)
        if dry_run:
            self.stdout.write("")
            for statement in done.sql:
                self.stdout.write(f"{statement};")
        self.stdout.write(f"{'Would publish' if dry_run else 'Published'} schema version {done.schema_version}.")
