"""verify_log: recompute every chain."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.log.verify import LogReport, verify_log
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Recompute each tenant's change chain and check the records against the log. If they "
        "disagree, prints the first bad cursor and exits with 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="Tenant slug (default: all tenants).")
        parser.add_argument("--json", action="store_true", help="Print the result as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = (
            Tenant.objects.filter(slug=options["tenant"]) if options["tenant"] is not None else Tenant.objects.all()
        )
        if options["tenant"] is not None and not tenants:
            raise CommandError(f"Unknown tenant: {options['tenant']!r}.")
        reports = []
        for tenant in tenants:
            report = verify_log(tenant.pk, self._progress(tenant.slug))
            reports.append(report)
            if not options["json"]:
                self._report(report)
        ok = not any(report.problems for report in reports)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": ok, "tenants": [self._as_json(report) for report in reports]}))
        if not ok:
            sys.exit(1)

    def _progress(self, slug: str) -> Any:
        """Show a tenant's progress on a terminal."""
        if not self.stderr.isatty():
            return None
        return lambda done, total: self.stderr.write(
            f"\r{slug}: {done} of {total}", ending="\n" if done >= total else ""
        )

    def _report(self, report: LogReport) -> None:
        where = f"{report.tenant}: {report.changes} changes after cursor {report.from_cursor}"
        if not report.problems:
            self.stdout.write(f"{where}: chain and records are consistent")
            return
        self.stdout.write(f"{where}: first bad cursor {report.first_bad_cursor}")
        for problem in report.problems:
            self.stdout.write(f"  {problem.cursor}: {problem.message} [{problem.code}]")

    @staticmethod
    def _as_json(report: LogReport) -> dict[str, Any]:
        return {**asdict(report), "first_bad_cursor": report.first_bad_cursor}
