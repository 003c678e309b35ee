"""The app of clients/ios as on a phone: its bundle at Capacitor's own scheme, in WebKit, in the size of an iPhone."""

from pathlib import Path

from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser import engines
from tests.browser.person import Person
from tests.contract.servers import ROOT

IOS = ROOT / "clients" / "ios"
SHELL = Path(__file__).with_name("appshell.py")
ORIGIN = "capacitor://localhost"
#: WKWebView in an app does not call itself Safari.
WKWEBVIEW = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
)


class Phone(Person):
    """A person with the app in hand. Its pages are in no server's hands."""

    def start_driver(self, size: engines.Size, screen: str) -> WebDriver:
        """Start the shell on the app's files."""
        width, height = engines.PHONE
        wanted = (f"--width={width}", f"--height={height}", f"--ua={WKWEBVIEW}", f"--folder={IOS / 'www'}")
        return engines.webkit_shell(SHELL, self.profile, screen, *wanted)

    def launch(self, place: str = "") -> "Phone":
        """Open the app, as a tap on its icon does."""
        self.driver.get(f"{ORIGIN}/{place}")
        return self
