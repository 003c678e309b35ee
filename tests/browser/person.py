"""A person at a browser: does with the app what a person does, and sees what a person sees."""

import contextlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.window import PATIENCE, Window, eventually

#: An element that was just found may be drawn again before it is used, or may still be moving.
MOVED = (StaleElementReferenceException, ElementNotInteractableException, ElementClickInterceptedException)
#: The status may follow a write by this much: the app shows "saving" only when it lasts.
STATUS_LAG = 0.3
_SYNC = "document.querySelector('[data-phase]')"
_NOTHING_TO_SAVE = (
    "![...document.querySelectorAll('button')].some((e) => e.checkVisibility() && !e.disabled"
    " && /^(Save|Cancel)$/.test(e.textContent.trim()))"
)
_NOTE_WHEN = """
const [field, value] = arguments;
window.noted = null;
(function look() {
  const input = document.querySelector(`[data-field="${field}"] :is(input, select, textarea)`);
  if (input?.value === value) window.noted = Date.now();
  else setTimeout(look, 1);
})();
"""
_INPUT = ":is(input, select, textarea)"


class Person(Window):
    """What one window shows, and hands to use it."""

    def find(self, css: str) -> WebElement:
        """Wait for an element that can be seen."""
        found: WebElement = self.until(
            "[...document.querySelectorAll(arguments[0])].find((e) => e.checkVisibility())", css
        )
        return found

    def button(self, name: str, within: str = "body") -> WebElement:
        """Wait for a button or link by its name."""
        script = (
            "[...document.querySelectorAll(arguments[1] + ' :is(button, a)')]"
            ".find((e) => e.checkVisibility() && !e.disabled"
            " && (e.getAttribute('aria-label') ?? e.textContent).trim() === arguments[0])"
        )
        found: WebElement = self.until(script, name, within)
        return found

    def handle(self, find: Callable[[], WebElement], use: Callable[[WebElement], Any]) -> None:
        """Find something and use it; once more when it moved just then."""

        def attempt() -> bool:
            with contextlib.suppress(*MOVED):
                use(find())
                return True
            return False

        eventually(attempt, lambda: f"it never held still: {self.state()}")

    def click(self, name: str, within: str = "body") -> None:
        """Click a button or link by its name."""
        self.handle(lambda: self.button(name, within), lambda element: element.click())

    def press(self, css: str) -> None:
        """Click something that has no name."""
        self.handle(lambda: self.find(css), lambda element: element.click())

    def keys(self, *keys: str) -> "Person":
        """Type where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)
        return self

    # Going places

    def go(self, place: str = "") -> "Person":
        """Load a place of the app in a new document."""
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
            self.fill(f"input[name={name}]", value)
        self.press("form button[type=submit]")

    def fill(self, css: str, text: str) -> None:
        """Put a text into an input, instead of what is there."""

        def use(element: WebElement) -> None:
            element.clear()
            element.send_keys(text)

        self.handle(lambda: self.find(css), use)

    def open(self, table: str, record: str) -> "Person":
        """Open a record."""
        place = f"#/o/{table}/{quote(record)}"
        self.visit(place)
        self.until(
            f"location.hash === arguments[0] && document.querySelector('article:not([hidden]) [data-field] {_INPUT}')",
            place,
        )
        return self

    def live(self) -> "Person":
        """Wait until the app is in step and nothing waits to be sent."""
        self.until(f"{_SYNC}?.dataset.phase === 'live' && {_SYNC}.dataset.pending === '0'")
        return self

    def sent(self) -> "Person":
        """Wait until what was just saved is on the server: in step, and for longer than the status may lag behind."""
        since = [0.0]

        def calm() -> bool:
            now = time.monotonic()
            if not self.js(f"return {_SYNC}?.dataset.phase === 'live' && {_SYNC}.dataset.pending === '0'"):
                since[0] = now
            since[0] = since[0] or now
            return now - since[0] > STATUS_LAG

        eventually(calm, lambda: f"never in step for {STATUS_LAG} s: {self.state()}")
        return self

    def phase(self, name: str) -> "Person":
        """Wait for a phase of the sync."""
        self.until(f"{_SYNC}?.dataset.phase === arguments[0]", name)
        return self

    def offline(self) -> "Person":
        """Wait until the app noticed that the server is gone."""
        return self.phase("offline")

    def starts_offline(self) -> "Person":
        """Wait until the service worker answers for the page."""
        self.until("navigator.serviceWorker.controller !== null")
        return self

    # Seeing and editing

    def input(self, field: str) -> WebElement:
        """Return a field's input."""
        return self.find(f'[data-field="{field}"] {_INPUT}')

    def type(self, field: str, text: str, *, clear: bool = True) -> "Person":
        """Type into a field."""

        def use(element: WebElement) -> None:
            if clear:
                element.click()
                self.js("arguments[0].select()", element)
                element.send_keys(Keys.DELETE)
            element.send_keys(text)

        self.handle(lambda: self.input(field), use)
        return self

    def choose(self, field: str, label: str) -> "Person":
        """Choose from a list."""
        option = f"./option[normalize-space(.)='{label}']"
        self.handle(lambda: self.input(field), lambda element: element.find_element(By.XPATH, option).click())
        return self

    def save(self) -> "Person":
        """Save and wait until it is durable here."""
        self.click("Save")
        # While it is being written "Save" is off, and "Cancel" is not: there still is something to cancel.
        self.until(_NOTHING_TO_SAVE)
        return self

    def sees(self, field: str, value: str, *, seconds: float = PATIENCE) -> "Person":
        """Wait until a field shows a value."""
        shown = f'document.querySelector(`[data-field="${{arguments[0]}}"] {_INPUT}`)?.value === arguments[1]'
        self.until(shown, field, value, seconds=seconds)
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

    def note_when(self, field: str, value: str) -> "Person":
        """Note the moment a field shows a value; `noted` tells it."""
        self.js(_NOTE_WHEN, field, value)
        return self

    def noted(self) -> float:
        """Return the moment that `note_when` waited for, in ms since 1970."""
        return float(self.until("window.noted"))

    def save_and_note(self) -> float:
        """Save, and return the moment of the click in ms since 1970."""
        self.js("addEventListener('click', () => { window.clicked = Date.now(); }, { capture: true, once: true })")
        self.save()
        return float(self.js("return window.clicked"))

    def stays(self) -> "Person":
        """Mark the document, to check later that it was never reloaded."""
        self.js("window.sameDocument = true")
        return self

    @property
    def stayed(self) -> bool:
        """Whether this is the document that was marked."""
        return self.js("return window.sameDocument") is True
