"""docs/reference/rest.md is complete."""

from pathlib import Path

from sync.transports.rest.conf import RestSettings
from sync.transports.rest.errors import RestCode
from sync.transports.rest.listing import OPERATORS
from sync.transports.rest.urls import urlpatterns

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/rest.md").read_text()


def test_every_code_with_its_status_is_on_the_page():
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    for code in RestCode:
        assert any(f"`{code}`" in row and f"| {code.status} |" in row for row in rows), code
        assert code.meaning


def test_every_knob_operator_and_address_is_on_the_page():
    for name in RestSettings.__dataclass_fields__:
        assert name.upper() in PAGE
    for operator in OPERATORS:
        assert not operator or f"`__{operator}`" in PAGE
    for pattern in urlpatterns:
        last = str(pattern.pattern).rstrip("/").split("/")[-1]
        assert "<" in last or f"{last}" in PAGE, pattern
