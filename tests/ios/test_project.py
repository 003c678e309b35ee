"""Check the Xcode project and the bundle without a Mac: complete, consistent, strict, and up to date."""

import hashlib
import json
import plistlib
import re
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from config import web
from config.headers import PREFIX
from tests.browser.fixtures import skip_if
from tests.ios.phone import IOS

APP = IOS / "ios" / "App" / "App"
PROJECT = IOS / "ios" / "App" / "App.xcodeproj" / "project.pbxproj"
PACKAGE = json.loads((IOS / "package.json").read_text())
LOCK = json.loads((IOS / "package-lock.json").read_text())
CONFIG = json.loads((IOS / "capacitor.config.json").read_text())
#: What `npm run sync` brings: in the project, not in the repository.
GENERATED = {"public", "capacitor.config.json", "config.xml"}
_TOKEN = re.compile(r'\s+|/\*.*?\*/|//[^\n]*|("(?:[^"\\]|\\.)*"|[\w./$-]+|[{}()=;,])', re.DOTALL)


class OldPlist:
    """Reads the format of a project file: { key = value; }, ( value, ), words and texts. Anything else is an error."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            assert found, f"not understood: {text[at : at + 40]!r}"
            at = found.end()
            if found[1]:
                self.tokens.append(found[1])
        self.tokens.reverse()

    def take(self, expected: str = "") -> str:
        token = self.tokens.pop()
        assert not expected or token == expected, (token, expected)
        return token

    def value(self) -> Any:
        token = self.take()
        if token == "{":
            found: dict[str, Any] = {}
            while self.tokens[-1] != "}":
                key = self.value()
                assert key not in found, key
                self.take("=")
                found[key] = self.value()
                self.take(";")
            self.take()
            return found
        if token == "(":
            several = []
            while self.tokens[-1] != ")":
                several.append(self.value())
                if self.tokens[-1] != ")":
                    self.take(",")
            self.take()
            return several
        assert token not in "})=;,", token
        return token.strip('"')


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    reader = OldPlist(PROJECT.read_text())
    root = reader.value()
    assert not reader.tokens
    return root


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    return plistlib.loads((APP / "Info.plist").read_bytes())


def test_every_object_that_the_project_names_is_there(project):
    objects = project["objects"]
    named = set(re.findall(r"\b[0-9A-F]{24}\b", json.dumps(project)))
    assert project["rootObject"] in objects
    assert len(objects) > 25
    assert named == set(objects)
    kinds = {each["isa"] for each in objects.values()}
    assert {
        "PBXNativeTarget",
        "PBXResourcesBuildPhase",
        "PBXSourcesBuildPhase",
        "XCLocalSwiftPackageReference",
    } <= kinds


def test_every_file_of_the_project_is_in_the_repository_or_made_by_sync(project):
    ignored = (IOS / "ios" / ".gitignore").read_text().split()
    paths = {each["path"] for each in project["objects"].values() if each["isa"] == "PBXFileReference"} - {"App.app"}
    assert paths > GENERATED
    for path in paths:
        if path in GENERATED:
            assert f"App/App/{path}" in ignored
        else:
            assert any((folder / path).exists() for folder in (APP, APP.parent)), path
    assert {"/www/", "/node_modules/"} <= set((IOS / ".gitignore").read_text().split())


def test_the_target_is_the_app_that_the_configuration_names(project, info):
    settings = [each["buildSettings"] for each in project["objects"].values() if each["isa"] == "XCBuildConfiguration"]
    mine = [each for each in settings if "PRODUCT_BUNDLE_IDENTIFIER" in each]
    assert len(mine) == 2
    for each in mine:
        assert (each["PRODUCT_BUNDLE_IDENTIFIER"], each["MARKETING_VERSION"]) == (CONFIG["appId"], PACKAGE["version"])
        assert (each["INFOPLIST_FILE"], each["ASSETCATALOG_COMPILER_APPICON_NAME"]) == ("App/Info.plist", "AppIcon")
    # The first iOS whose WebKit has all that the client uses (DecompressionStream came last).
    assert {each["IPHONEOS_DEPLOYMENT_TARGET"] for each in settings} == {"16.4"}
    assert info["CFBundleDisplayName"] == CONFIG["appName"] == "Moat"
    assert info["CFBundleIdentifier"] == "$(PRODUCT_BUNDLE_IDENTIFIER)"


def test_the_app_may_turn_and_speaks_plain_http_to_nobody_but_the_machine_itself(info):
    assert info["NSAppTransportSecurity"] == {
        "NSAllowsArbitraryLoads": False,
        "NSExceptionDomains": {"localhost": {"NSExceptionAllowsInsecureHTTPLoads": True}},
    }
    assert "UIInterfaceOrientationPortrait" in info["UISupportedInterfaceOrientations"]
    assert len(info["UISupportedInterfaceOrientations~ipad"]) == 4
    assert info["UIRequiredDeviceCapabilities"] == ["arm64"]
    assert "UIUserInterfaceStyle" not in info, "light and dark follow the system"
    assert (APP / "Base.lproj" / f"{info['UILaunchStoryboardName']}.storyboard").exists()


def test_the_swift_package_and_the_lock_name_one_capacitor():
    swift = (IOS / "ios" / "App" / "CapApp-SPM" / "Package.swift").read_text()
    [version] = re.findall(r'capacitor-swift-pm\.git", exact: "([^"]+)"', swift)
    assert "platforms: [.iOS(.v16)]" in swift
    for name in ("core", "ios", "cli"):
        assert LOCK["packages"][f"node_modules/@capacitor/{name}"]["version"] == version
        assert {**PACKAGE["dependencies"], **PACKAGE["devDependencies"]}[f"@capacitor/{name}"] == version


def test_the_lock_names_no_place_to_download_from():
    assert len(LOCK["packages"]) > 50
    for name, package in LOCK["packages"].items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


def test_the_configuration_loads_no_page_from_elsewhere():
    text = (IOS / "capacitor.config.json").read_text() + (IOS / "moat.config.json").read_text()
    assert "http://" not in text
    assert "server" not in CONFIG, "a server in Capacitor's sense would replace the bundle, or its origin"
    assert CONFIG["webDir"] == "www"
    assert set(json.loads((IOS / "moat.config.json").read_text())) == {"server"}


def png(path: Path) -> tuple[int, int, int]:
    """Width, height and colour type; 2 is RGB without transparency."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">IIxB", data[16:26])


def test_every_picture_exists_in_its_size():
    assets = APP / "Assets.xcassets"
    [icon] = json.loads((assets / "AppIcon.appiconset" / "Contents.json").read_text())["images"]
    # One picture of 1024: Xcode makes the other sizes of it. The App Store refuses transparency.
    assert (icon["size"], icon["platform"], icon["idiom"]) == ("1024x1024", "ios", "universal")
    assert png(assets / "AppIcon.appiconset" / icon["filename"]) == (1024, 1024, 2)
    launch = json.loads((assets / "Splash.imageset" / "Contents.json").read_text())["images"]
    assert [each.get("appearances", [{}])[0].get("value") for each in launch] == [None, "dark"]
    for each in launch:
        assert png(assets / "Splash.imageset" / each["filename"]) == (2732, 2732, 2)
    for folder in assets.glob("*.*set"):
        named = {each["filename"] for each in json.loads((folder / "Contents.json").read_text())["images"]}
        assert named == {file.name for file in folder.iterdir()} - {"Contents.json"}
    web_icons = web.CLIENT / "app" / "icons"
    assert png(web_icons / "apple-touch-icon.png")[:2] == (180, 180)
    for size in (192, 512):
        assert png(web_icons / f"icon-{size}.png")[:2] == (size, size)


def test_the_bundle_is_the_web_client_byte_for_byte(bundle):
    served = {
        address.removeprefix(f"/static/{PREFIX}"): sha256
        for address, sha256 in web.precache().items()
        if address.startswith("/static")
    }
    assembled = {
        str(path.relative_to(bundle)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.rglob("*")
        if path.is_file()
    }
    assert len(served) > 60
    del assembled["index.html"]
    assert assembled == served


class Page(HTMLParser):
    """Every address a page names, its meta elements, and what a strict policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.meta: dict[str, str] = {}
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self.addresses += [of[name] for name in ("href", "src") if name in of]
        if tag == "meta":
            self.meta[of.get("http-equiv") or of.get("name") or "charset"] = of.get("content", "")
        if (
            tag == "style"
            or (tag == "script" and "src" not in of)
            or any(name == "style" or name.startswith("on") for name in of)
        ):
            self.inline.append(tag)


def test_the_page_is_self_contained_and_as_strict_as_the_servers(bundle):
    page = Page((bundle / "index.html").read_text())
    assert len(page.addresses) >= 5
    for address in page.addresses:
        assert address.startswith("./app/"), address
        assert (bundle / address).is_file(), address
    policy = dict(each.strip().split(" ", 1) for each in page.meta["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["style-src"] == policy["worker-src"] == "'self'"
    connect = set(policy["connect-src"].split())
    assert {each for each in connect if each.startswith(("http:", "ws:"))} == {
        f"{scheme}://{host}:*" for scheme in ("http", "ws") for host in ("localhost", "127.0.0.1")
    }
    assert {"https:", "wss:"} <= connect
    assert not page.inline
    assert "viewport-fit=cover" in page.meta["viewport"]
    assert "moat-server" not in page.meta


@pytest.mark.parametrize(
    ("server", "built"),
    [("moat.example", "https://moat.example"), ("http://moat.example", None), ('https://"><script>', None)],
)
def test_a_server_built_in_is_checked(bundle, tmp_path, server, built):
    shutil.copytree(bundle.parent / "scripts", tmp_path / "ios" / "scripts")
    (tmp_path / "ios" / "moat.config.json").write_text(json.dumps({"server": server}))
    (tmp_path / "ios" / "package.json").write_text('{"type": "module"}')
    (tmp_path / "web").symlink_to(web.CLIENT)
    command = [str(shutil.which("node")), "--preserve-symlinks", "scripts/bundle.js"]
    done = subprocess.run(command, cwd=tmp_path / "ios", capture_output=True, text=True)
    assert (done.returncode == 0) == (built is not None), done.stderr
    if built:
        assert Page((tmp_path / "ios" / "www" / "index.html").read_text()).meta["moat-server"] == built
    else:
        assert "bad_server" in done.stderr or "address of" in done.stderr
        assert not (tmp_path / "ios" / "www").exists()


@pytest.fixture
def capacitor(tmp_path) -> Iterator[tarfile.TarFile]:
    """Capacitor for iOS as the project names it, from npm."""
    wanted = f"@capacitor/ios@{LOCK['packages']['node_modules/@capacitor/ios']['version']}"
    npm = shutil.which("npm")
    if (
        npm is None
        or subprocess.run([npm, "pack", "--silent", wanted], cwd=tmp_path, capture_output=True, timeout=120).returncode
    ):
        skip_if(f"npm does not fetch {wanted}")
    (packed,) = tmp_path.glob("*.tgz")
    with tarfile.open(packed) as source:
        yield source


def test_what_the_shell_calls_the_files_is_what_ios_and_capacitor_call_them(bundle, capacitor):
    """A module with a wrong MIME type does not run.

    Capacitor asks iOS, which knows .js and .mjs as JavaScript; the other types are in Capacitor's own table too.
    """
    handler = capacitor.extractfile("package/Capacitor/Capacitor/WebViewAssetHandler.swift").read().decode()
    table = dict(re.findall(r'"([a-z0-9]+)": "([^"]+)"', handler.split("let mimeTypes", 1)[1]))
    suffixes = {path.suffix for path in bundle.rglob("*") if path.is_file()}
    assert suffixes - {f".{each}" for each in table} == {".mjs", ".webmanifest"}
    for suffix in suffixes - {".mjs", ".webmanifest", ".js"}:
        assert f'"{suffix}": "{table[suffix[1:]]}"' in (Path(__file__).parent / "appshell.py").read_text(), suffix
