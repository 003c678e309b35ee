"""A person at a browser: does with the app what a person does, and sees what a person sees."""

import contextlib
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

PATIENCE = 45.0
VIOLATIONS = "window.violations = []; document.addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective + ' ' + e.blockedURI));"


_NOTHING_TO_SAVE = "![...document.querySelectorAll('button')].some((e) => e.checkVisibility() && !e.disabled && /^(Save|Cancel)$/.test(e.textContent.trim()))"


class Person:
    """What one window shows, and hands to use it."""

    def __init__(self, driver: WebDriver, url: str, profile: Path) -> None:
        self.driver, self.url, self.profile = driver, url, profile
        driver.set_script_timeout(PATIENCE)
        if hasattr(driver, "execute_cdp_cmd"):
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": VIOLATIONS})

    def js(self, source: str, *args: Any) -> Any:
        """Run JavaScript and return its value."""
        return self.driver.execute_script(source, *args)

    def until(self, condition: str, *args: Any, seconds: float = PATIENCE) -> Any:
        """Wait until a JavaScript expression is true and return it."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(JavascriptException, StaleElementReferenceException):
                if value := self.js(f"return {condition}", *args):
                    return value
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {condition} {args}\n{self.js('return document.body.innerText')}\n{self.log()}")
            time.sleep(0.02)

    def find(self, css: str) -> WebElement:
        """Wait for an element that can be seen."""
        found: WebElement = self.until("[...document.querySelectorAll(arguments[0])].find((e) => e.checkVisibility())", css)
        return found

    def button(self, name: str, within: str = "body") -> WebElement:
        """Wait for a button or link by its name."""
        script = (
            "[...document.querySelectorAll(arguments[1] + ' :is(button, a)')].find((e) => e.checkVisibility() && !e.disabled"
            " && (e.getAttribute('aria-label') ?? e.textContent).trim() === arguments[0])"
        )
        found: WebElement = self.until(script, name, within)
        return found

    def click(self, name: str, within: str = "body") -> None:
        """Click a button or link by its name; once more when it was drawn anew just then."""
        with contextlib.suppress(StaleElementReferenceException):
            return self.button(name, within).click()
        return self.button(name, within).click()

    # Going places

    def go(self, place: str = "") -> "Person":
        """Load a place of the app anew."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}/app/{place}")
        return self

    def visit(self, place: str) -> "Person":
        """Go to a place without loading the page."""
        self.js("location.hash = arguments[0]", place)
        return self

    def log_in(self, user: str = "tom", tenant: str = "acme", password: str = "secret") -> "Person":
        """Log in on the log-in page and wait until everything is there."""
        self.find("input[name=password]")
        self.fill_log_in(tenant=tenant, user=user, password=password)
        return self.live()

    def fill_log_in(self, **values: str) -> None:
        """Fill the log-in form and send it."""
        for name, value in values.items():
            element = self.find(f"input[name={name}]")
            element.clear()
            element.send_keys(value)
        self.find("form button[type=submit]").click()

    def open(self, table: str, record: str) -> "Person":
        """Open a record."""
        self.visit(f"#/o/{table}/{quote(record)}")
        self.until(
            "location.hash === arguments[0] && document.querySelector('.record:not([hidden]) .control')", f"#/o/{table}/{quote(record)}"
        )
        return self

    def live(self) -> "Person":
        """Wait until the app is in step and nothing waits to be sent."""
        self.until("document.querySelector('.sync-state[data-phase=live][data-pending=\"0\"]')")
        return self

    def sent(self) -> "Person":
        """Wait until what was just saved is on the server."""
        time.sleep(0.2)  # the status follows a write by a few hundredths of a second
        return self.live()

    def phase(self, name: str) -> "Person":
        """Wait for a phase of the sync."""
        self.until("document.querySelector('.sync-state')?.dataset.phase === arguments[0]", name)
        return self

    # Seeing and editing

    def input(self, field: str) -> WebElement:
        """Return a field's input."""
        return self.find(f'[data-field="{field}"] :is(input, select, textarea)')

    def type(self, field: str, text: str, *, clear: bool = True) -> "Person":
        """Type into a field."""
        element = self.input(field)
        if clear:
            element.send_keys(Keys.CONTROL, "a")
            element.send_keys(Keys.DELETE)
        element.send_keys(text)
        return self

    def choose(self, field: str, label: str) -> "Person":
        """Choose from a list."""
        self.input(field).find_element(By.XPATH, f"./option[normalize-space(.)='{label}']").click()
        return self

    def save(self) -> "Person":
        """Save and wait until it is durable here."""
        self.click("Save")
        # While it is being written "Save" is off, and "Cancel" is not: there still is something to cancel.
        self.until(_NOTHING_TO_SAVE)
        return self

    def sees(self, field: str, value: str, *, seconds: float = PATIENCE) -> "Person":
        """Wait until a field shows a value."""
        self.until(
            'document.querySelector(`[data-field="${arguments[0]}"] :is(input, select, textarea)`)?.value === arguments[1]',
            field,
            value,
            seconds=seconds,
        )
        return self

    def titles(self) -> list[str]:
        """Return the titles of the rows that are drawn."""
        found: list[str] = self.js("return [...document.querySelectorAll('.item .title')].map((e) => e.textContent)")
        return found

    def sees_row(self, title: str) -> "Person":
        """Wait until the list shows a title."""
        self.until("[...document.querySelectorAll('.item .title')].some((e) => e.textContent === arguments[0])", title)
        return self

    def says(self, text: str) -> "Person":
        """Wait until the page says something."""
        self.until("document.body.innerText.includes(arguments[0])", text)
        return self

    def log(self) -> list[str]:
        """Return the console's messages since the last call."""
        with contextlib.suppress(Exception):
            return [f"{entry['level']} {entry['message']}" for entry in self.driver.get_log("browser")]
        return []
