import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_server import FakeServer
from fake_tenant import FakeTenant
from rig import Rig

from moat_client.replica import credentials


@pytest.fixture
def tenant() -> FakeTenant:
    made = FakeTenant()
    made.publish()
    for n in range(5):
        made.change("jobs", f"job-{n}", "insert", {"title": f"Job {n}", "price": "1.50", "attrs": {"n": n}})
    return made


@pytest.fixture
def rig(tenant: FakeTenant, tmp_path: Path):
    made = Rig(tenant, tmp_path)
    yield made
    made.backend.close()
    made.replica.close()


@pytest.fixture
def server(tenant: FakeTenant, tmp_path: Path):
    made = FakeServer(tenant, tmp_path).start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests out of the keyring of the person who runs them; commands inherit the variable."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setattr(credentials, "keyring", None)
