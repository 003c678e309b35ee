"""`manage.py create_device --tenant T --user U --name N [--json]`: prints the token, once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from tenants.errors import MoatError
from tenants.models import Tenant
from tenants.tokens import issue_device


class Command(BaseCommand):
    help = "Create a device and print its token, which cannot be read again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug of the tenant")
        parser.add_argument("--user", required=True, help="user name of a member")
        parser.add_argument("--name", required=True, help="what the device is called in the admin")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        user = User.objects.filter(username=options["user"]).first()
        if tenant is None or user is None:
            missing = f"tenant {options['tenant']}" if tenant is None else f"user {options['user']}"
            raise CommandError(f"There is no {missing}.")
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
                f"device {issued.device.pk}\ntoken  {issued.token}\nThe token is shown only now: keep it safe."
            )
