"""Sign in: exchange a password for a device token, and keep it for the replica."""

import json
import platform
import urllib.error
import urllib.request
from typing import Any

from moat_client.errors import LoginFailed, MoatError, Unreachable
from moat_client.net.retry_after import retry_after_seconds
from moat_client.net.urls import secure_url
from moat_client.replica.credentials import save_token
from moat_client.replica.replica import Replica
from moat_client.replica.store import get_state, set_state

TIMEOUT_SECONDS = 30


def login(
    url: str,
    *,
    tenant: str,
    user: str,
    password: str,
    device_name: str = "",
    replica: Replica | None = None,
    insecure: bool = False,
) -> dict[str, str]:
    """Request a device token; return `device` and `token`. Raise LoginFailed or Unreachable.

    Raise MoatError `insecure` for plain http to another machine, unless `insecure` allows it.

    Pass the `replica` that will use the token: if its device was revoked, it gets the same device again, and the server
    still recognizes the ops it sent before.
    """
    name = device_name or f"moat-python on {platform.node() or 'unknown'}"
    given: dict[str, Any] = {"tenant": tenant, "user": user, "password": password, "device": name}
    body = json.dumps({**given, **(_former(replica) if replica is not None else {})}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    address = secure_url(url, insecure=insecure)
    # S310: secure_url checks the scheme.
    request = urllib.request.Request(  # noqa: S310
        f"{address}/api/login", data=body, headers=headers, method="POST"
    )
    response = _response(request)
    device = response.get("device")
    if not device or not response.get("token"):
        raise LoginFailed("The server's sign-in response has no device or token.")
    return {"device": str(device), "token": str(response["token"])}


def _former(replica: Replica) -> dict[str, Any]:
    """Return the replica's last device and the highest op_id it ever used."""
    with replica.store.read() as (con, _):
        device = get_state(con, "device")
        return {"device_id": device, "last_op_id": int(get_state(con, "next_op_id", "1")) - 1} if device else {}


def _response(request: urllib.request.Request) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - checked by base_url
            data = json.load(response)
            return data if isinstance(data, dict) else {}
    except urllib.error.HTTPError as problem:
        with problem:
            raise _refusal(problem) from None
    except (OSError, ValueError) as problem:
        raise Unreachable(f"Can't reach the server: {problem}") from problem


def _refusal(problem: urllib.error.HTTPError) -> MoatError:
    reason = _reason(problem)
    if problem.code in (400, 401, 403):
        return LoginFailed(reason or "The tenant, user name, or password is incorrect.")
    wait = retry_after_seconds(problem.headers.get("Retry-After"))
    return Unreachable(reason or f"The server returned status {problem.code}.", retry_after=wait)


def _reason(problem: urllib.error.HTTPError) -> str:
    try:
        data = json.load(problem)
    except ValueError:
        return ""
    if not isinstance(data, dict):
        return ""
    return str(data.get("message") or data.get("detail") or "")


def remember_login(
    replica: Replica, *, url: str, tenant: str, user: str, device: str, token: str, insecure: bool = False
) -> None:
    """Store the device and user of this replica; raise MoatError if it belongs to another tenant.

    Raise MoatError `insecure` as `login` does.

    The token is kept in the system keyring or in a private file next to the replica (docs/guides/python-client.md).
    Ops of a former device are still recognized as the replica's own.
    """
    address = secure_url(url, insecure=insecure)
    _check_tenant(replica, tenant)
    save_token(replica.store, token)
    with replica.store.write() as writing:
        con = writing.con
        before = get_state(con, "device")
        if before and before != device:
            past = {*json.loads(get_state(con, "past_devices", "[]")), before}
            set_state(con, "past_devices", json.dumps(sorted(past)))
        for key, value in {
            "url": address,
            "tenant": tenant,
            "user": user,
            "device": device,
        }.items():
            set_state(con, key, value)


def _check_tenant(replica: Replica, tenant: str) -> None:
    with replica.store.read() as (con, _):
        known = replica.position().tenant or get_state(con, "tenant")
    if known and known != tenant:
        raise MoatError(
            f"This replica belongs to tenant {known}. Use a different file for {tenant}.", code="wrong_tenant"
        )
