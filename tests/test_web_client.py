"""The web client as the server serves it: its policy, its caching, and a complete list for offline starts."""

import hashlib
import re
from pathlib import Path

import pytest

from config import web

STATIC = "/static/web/"
IMPORT = re.compile(
    r"""(?:^import .*?|^export .*? from |^\} from |import\(|new URL\()\s*['"](\.[^'"]+)['"]""", re.MULTILINE
)

pytestmark = pytest.mark.skipif(
    not web.VENDORED.exists(), reason="the web client is not built: npm ci && npm run build in clients/web"
)


def reached(path: Path, seen: set[Path]) -> set[Path]:
    """Every file that a module imports, directly or indirectly."""
    seen.add(path)
    for name in (
        IMPORT.findall(path.read_text()) if path.suffix in (".js", ".mjs") and "vendor" not in path.parts else []
    ):
        target = (path.parent / name).resolve()
        if target not in seen and target.is_file():
            reached(target, seen)
    return seen


def test_everything_the_page_needs_is_on_the_list_for_an_offline_start():
    files = web.precache()
    needed = reached(web.CLIENT / "app" / "main.js", set())
    assert len(needed) > 50
    assert not [str(path) for path in needed if f"{STATIC}{path.relative_to(web.CLIENT)}" not in files]
    assert f"{STATIC}sdk/vendor/sqlite3/sqlite3.wasm" in files
    assert f"{STATIC}app/sw.js" not in files


@pytest.mark.django_db  # closing a response also closes database connections
def test_each_file_is_served_with_the_digest_of_the_list_and_asked_for_anew(client):
    for address, sha256 in web.precache().items():
        response = client.get(address)
        body = b"".join(response.streaming_content) if response.streaming else response.content
        assert (response.status_code, hashlib.sha256(body).hexdigest()) == (200, sha256), address
        assert response["Cache-Control"] == "no-cache", address
        response.close()


def test_the_page_allows_no_script_but_its_own(client):
    response = client.get("/app/")
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'wasm-unsafe-eval';" in policy
    assert "unsafe-inline" not in policy
    assert "ws://testserver wss://testserver" in policy
    page = response.content.decode()
    assert not re.search(r"<script(?![^>]* src=)|<style|style=|onclick", page)
    assert '="./' not in page


def test_the_service_worker_is_another_text_when_a_file_is_another(client, monkeypatch):
    before = client.get("/sw.js")
    assert before["Content-Type"].startswith("text/javascript")
    assert before["Cache-Control"] == "no-cache"
    assert client.get("/sw.js").content == before.content
    files = web.precache()
    monkeypatch.setattr(web, "precache", lambda: {**files, "/app/": "0" * 64})
    assert client.get("/sw.js").content != before.content


def test_a_client_that_is_not_built_says_how_to_build_it(client, monkeypatch, tmp_path):
    monkeypatch.setattr(web, "VENDORED", tmp_path / "missing")
    response = client.get("/app/")
    assert response.status_code == 503
    assert "npm ci" in response.content.decode()
