"""Tests that docs/spec/errors.md, the enum, and the transports agree on every code."""

import re
from pathlib import Path

from sync.transports.errors import CLOSE_CODES, http_status
from sync.wire.codes import Code

PAGE = (Path(__file__).resolve().parents[2] / "docs/spec/errors.md").read_text()


def test_every_code_is_on_the_page_with_its_meaning_its_status_and_its_close_code():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (\d+) \| (\d*) \|$", PAGE, re.M)
    documented = {code: (meaning, status, close) for code, meaning, status, close in rows}
    assert documented == {
        code.value: (code.meaning, str(int(http_status(code))), str(CLOSE_CODES.get(code, ""))) for code in Code
    }
    assert len(rows) == len(documented)


def test_a_code_is_its_own_wire_text():
    assert Code.BAD_VALUE == "bad_value"
    assert f"{Code.BAD_VALUE}" == "bad_value"
    assert Code("bad_value") is Code.BAD_VALUE
