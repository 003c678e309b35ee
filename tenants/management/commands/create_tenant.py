"""`manage.py create_tenant SLUG [--name NAME] [--admin USER --password PASSWORD]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from tenants.members import create_member, create_tenant
from tenants.models import Membership


class Command(BaseCommand):
    help = "Create a tenant with a full-access profile and, with --admin, its first tenant admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="1 to 40 characters: a-z, 0-9, and hyphens, starting with a letter")
        parser.add_argument("--name", default="", help="display name (default: the slug)")
        parser.add_argument("--admin", help="user name of a new tenant admin")
        parser.add_argument("--password", help="the admin's password; without it, they can't sign in until one is set")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = create_tenant(options["slug"], options["name"])
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        if options["admin"]:
            try:
                create_member(tenant, options["admin"], password=options["password"], role=Membership.Role.ADMIN)
            except IntegrityError as error:
                raise CommandError(
                    f"The tenant was created, but the user name {options['admin']} is already taken."
                ) from error
        self.stdout.write(f"Created tenant {tenant.slug}.")
