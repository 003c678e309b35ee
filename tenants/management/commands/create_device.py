"""`manage.py create_device --tenant T --user U --name N [--json]`: print a new device's token once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from tenants.errors import MoatError
from tenants.models import Tenant
from tenants.tokens import issue_device


class Command(BaseCommand):
    help = "Create a device and print its token. The token is shown only once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant slug")
        parser.add_argument("--user", required=True, help="the member's user name")
        parser.add_argument("--name", required=True, help="device name shown in the admin")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        user = User.objects.filter(username=options["user"]).first()
        if tenant is None or user is None:
            missing = f"tenant {options['tenant']}" if tenant is None else f"user {options['user']}"
            raise CommandError(f"Unknown {missing}.")
        try:
            issued = issue_device(tenant, user, options["name"])
        except MoatError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {"tenant": tenant.slug, "user": user.username, "device": issued.device.pk, "token": issued.token}
                )
            )
        else:
            self.stdout.write(
                f"device {issued.device.pk}\ntoken  {issued.token}\nThis token is shown only once. Store it safely."
            )
