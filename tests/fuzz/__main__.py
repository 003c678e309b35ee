"""Run `make fuzz`: `python -m tests.fuzz --minutes 2 [--seed N] [--server daphne]`, on a database of its own.

A finding is printed with the message that caused it. The exit code is 1 if there is any.
"""

import argparse
import os
import secrets
import sys
import tempfile
from pathlib import Path

import django
from django.core.management import call_command


def main() -> int:
    """Set up Django on a temporary database, start a server, and fuzz it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz every endpoint of a real server.")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=None, help="repeat the messages of an earlier run")
    parser.add_argument("--server", choices=("uvicorn", "daphne"), default="uvicorn")
    options = parser.parse_args()
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="moat-fuzz-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    os.environ["MOAT_DATA_DIR"] = str(folder / "data")
    os.environ["DATABASE_URL"] = os.environ.get("FUZZ_DATABASE_URL") or f"sqlite:///{folder / 'fuzz.sqlite3'}"
    django.setup()
    call_command("migrate", verbosity=0)
    return _run(options.server, options.minutes * 60, seed)


def _run(kind: str, seconds: float, seed: int) -> int:
    # These import models, so Django must be set up.
    from metadata.publish import publish  # noqa: PLC0415
    from tests.builders import make_field_service, make_tenant  # noqa: PLC0415
    from tests.contract.servers import ServerProcess  # noqa: PLC0415
    from tests.fuzz.campaign import run  # noqa: PLC0415

    tenants = []
    for slug in ("hostile", "bystander"):
        tenant = make_tenant(f"{slug}-{secrets.token_hex(4)}")
        make_field_service(tenant)
        publish(tenant.pk)
        tenants.append(tenant)
    server = ServerProcess(kind=kind).start()
    try:
        report = run(server, *tenants, seconds=seconds, seed=seed)
    finally:
        server.stop()
    print(report.text())
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
