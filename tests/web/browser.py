"""A browser that holds a replica in a blank page, driven through the SDK."""

import contextlib
from typing import Any

from tests.browser.window import PATIENCE, Window, eventually

# Runs a script as the body of an async function. `moat` is the page's replica, and `args` are Python's arguments. The
# script is inserted here, because the page's Content-Security-Policy forbids it to evaluate text.
_RUN = """
const done = arguments[arguments.length - 1];
(async (moat, args) => { %s
})(window.moat, arguments[0]).then(
  (value) => done({ value: value === undefined ? null : value }),
  (error) => done({
    error: { code: error.code ?? null, message: String(error.message ?? error), stack: error.stack ?? null },
  }),
);
"""
_OPEN = "const { open } = await import('/static/web/sdk/index.js'); window.moat = await open(args);"

_STATE = """
const late = new Promise((resolve) => setTimeout(() => resolve('the leader does not answer'), 3000));
return moat ? [moat.status(), await Promise.race([moat.overlays(), late])] : 'no replica';
"""


class PageError(Exception):
    """What the page threw."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}\n{error['stack']}")
        self.code = error["code"]


class Browser(Window):
    """One browser with a page whose replica is `window.moat`."""

    def page(self, path: str = "/static/web/examples/blank.html") -> "Browser":
        """Load a page of the server."""
        self.driver.get(self.url + path)
        return self

    def run(self, source: str, args: Any = None) -> Any:
        """Run JavaScript in the page and return its value; raises PageError."""
        result = self.driver.execute_async_script(_RUN.replace("%s", source), args)
        if "error" in result:
            raise PageError(result["error"])
        return result["value"]

    def until(self, condition: str, args: Any = None, *, seconds: float = PATIENCE) -> Any:  # type: ignore[override]
        """Wait until a JavaScript expression, which may await, is true and return it."""

        def probe() -> Any:
            with contextlib.suppress(PageError):
                return self.run(f"return {condition}", args)

        return eventually(probe, lambda: f"{condition} did not come true: {self.state()}", seconds=seconds)

    def state(self) -> str:
        """Say how the replica is, for a failure."""
        replica = "the replica does not answer"
        with contextlib.suppress(Exception):
            replica = str(self.run(_STATE))
        return f"{replica}\n{super().state()}"

    def open(
        self, *, name: str = "main", storage: str = "auto", user: str | None = None, tenant: str | None = None
    ) -> "Browser":
        """Open the replica in a blank page as `window.moat`; log in when a user is given."""
        self.page()
        self.run(_OPEN, {"name": name, "storage": storage})
        if user:
            self.login(tenant or "", user)
        return self

    def login(self, tenant: str, user: str) -> None:
        """Log in with the password every test user has."""
        self.run("await moat.login(args)", {"tenant": tenant, "user": user, "password": "secret"})

    def live(self, **more: Any) -> "Browser":
        """Wait until the replica is live."""
        self.until("moat.status().phase === 'live'", **more)
        return self

    def settled(self) -> "Browser":
        """Wait until the replica is live and nothing of it waits for the server."""
        self.until(
            "moat.status().phase === 'live' && "
            "!(await moat.overlays()).some(({ state }) => state === 'pending' || state === 'acked')"
        )
        return self

    def rows(self, sql: str, params: Any = ()) -> list[dict[str, Any]]:
        """Run an application's query."""
        rows: list[dict[str, Any]] = self.run("return moat.query(args[0], args[1])", [sql, list(params)])
        return rows

    def titles(self, table: str = "jobs", column: str = "title") -> dict[str, str]:
        """Return what a table shows, by id."""
        return {row["id"]: row[column] for row in self.rows(f'SELECT "id", "{column}" FROM "{table}"')}

    def switch(self, handle: str) -> "Browser":
        """Switch to a tab."""
        self.driver.switch_to.window(handle)
        return self
