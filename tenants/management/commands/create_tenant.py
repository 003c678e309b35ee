"""`manage.py create_tenant SLUG [--name NAME] [--admin USER --password PASSWORD]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from tenants.members import create_member, create_tenant
from tenants.models import Membership


class Command(BaseCommand):
    help = "Create a tenant with a full-access profile, and its first admin when --admin is given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="1 to 40 of a-z, 0-9 and -, starting with a letter")
        parser.add_argument("--name", default="", help="what people read; the slug when left out")
        parser.add_argument("--admin", help="user name of a new tenant admin")
        parser.add_argument("--password", help="their password; without one they cannot log in until it is set")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = create_tenant(options["slug"], options["name"])
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        if options["admin"]:
            try:
                create_member(tenant, options["admin"], password=options["password"], role=Membership.Role.ADMIN)
            except IntegrityError as error:
                raise CommandError(f"The tenant was made, but user name {options['admin']} is taken.") from error
        self.stdout.write(f"Created tenant {tenant.slug}.")
