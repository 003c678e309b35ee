"""The clients of docs/guides/syncprotocol-v1.md, run from the page's own text against a real server."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metadata.publish import publish
from sync.models import Change
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.browser.fixtures import skip_if
from tests.builders import make_object_type, make_user
from tests.contract.servers import ROOT, ServerProcess

pytestmark = pytest.mark.contract
GUIDE = (ROOT / "docs/guides/syncprotocol-v1.md").read_text()
#: Without what it would compile or download when it is installed: the plain JavaScript of it will do.
CBOR_X = [
    "install",
    "--no-save",
    "--no-package-lock",
    "--omit=optional",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "cbor-x@1.6.9",
]


def block(language: str, containing: str) -> str:
    """A code block of the guide."""
    (found,) = (text for text in re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S) if containing in text)
    return found


@pytest.fixture
def environment(tenant: Tenant, server: ServerProcess) -> dict[str, str]:
    make_object_type(tenant, "note", {"title": "text"})
    publish(tenant.pk)
    issued = issue_device(tenant, make_user(tenant), "guide")
    given = {"URL": server.url, "DB": tenant.slug, "DEVICE": issued.device.pk, "TOKEN": issued.token}
    return {**os.environ, **{f"MOAT_{name}": value for name, value in given.items()}}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_client_of_the_guide(environment: dict[str, str], tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(block("python", "import cbor2"))
    first = run([sys.executable, "client.py"], tmp_path, environment)
    assert first == "pushed 1 in conflict 0\nupsert notes py {'title': 'Milk'}\n"
    note = Change.objects.get(tenant=tenant, table_name="notes")
    assert (note.record_id, note.device_id) == ("py", environment["MOAT_DEVICE"])
    again = run([sys.executable, "client.py"], tmp_path, environment)
    assert again.startswith("pushed 2 in conflict 0")  # the same document: nothing to do


@pytest.fixture
def cbor_x(tmp_path: Path) -> None:
    """Install `cbor-x` as the guide says. Without npm or a registry the test is skipped, except in CI."""
    npm = shutil.which("npm")
    if (
        npm is None
        or subprocess.run([npm, *CBOR_X], cwd=tmp_path, capture_output=True, timeout=120, check=False).returncode
    ):
        skip_if("npm cannot install cbor-x")


@pytest.mark.usefixtures("cbor_x")
def test_the_javascript_client_of_the_guide(environment: dict[str, str], tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "client.mjs").write_text(block("javascript", "cbor-x"))
    assert (
        run(["node", "client.mjs"], tmp_path, environment)
        == "pushed 1 in conflict 0\nupsert notes js { title: 'Milk' }\n"
    )
    # Browser encoders write byte strings with the tag of a typed array by default.
    tagged = (
        block("javascript", "cbor-x")
        .replace(", tagUint8Array: false", "")
        .replace("entityCbor: cbor.encode(", "entityCbor: bytes(")
    )
    tagged = (
        tagged.replace('entityId: "js"', 'entityId: "browser"')
        + "\nfunction bytes(value) { return new Uint8Array(cbor.encode(value)); }\n"
    )
    (tmp_path / "browser.mjs").write_text(tagged)
    assert "upsert notes browser { title: 'Milk' }\n" in run(["node", "browser.mjs"], tmp_path, environment)
    assert Change.objects.filter(tenant=tenant, table_name="notes").count() == 2


def test_the_store_of_the_guide(environment: dict[str, str], tenant: Tenant, tmp_path: Path) -> None:
    text = (
        block("python", "EntityStore")
        .replace("https://moat.example", environment["MOAT_URL"])
        .replace('"acme"', repr(tenant.slug))
    )
    text = text.replace("DEVICE", repr(environment["MOAT_DEVICE"])).replace("TOKEN", repr(environment["MOAT_TOKEN"]))
    (tmp_path / "store.py").write_text(text + "\nprint(engine.status().pending, sorted(notes.get('n1').items()))\n")
    assert run([sys.executable, "store.py"], tmp_path, {**environment, "PYTHONPATH": str(ROOT / "clients/python")}) == (
        "0 [('done', False), ('title', 'Milk')]\n"
    )
