"""Pure: domain errors. They know nothing of HTTP or WebSockets; `sync.transports.errors` maps their codes to both."""

from dataclasses import dataclass


class MoatError(Exception):
    """An expected failure, with a code for programs and a message that says what to do."""

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a definition. `where` names the object type or field (`job.customer`); `code` is stable."""

    where: str
    code: str
    message: str


class ValidationFailed(MoatError):
    """A use case rejected as a whole, with every problem found, not only the first."""

    def __init__(self, problems: list[Problem], *, code: str = "refused") -> None:
        super().__init__(code, "; ".join(f"{p.where}: {p.message}" for p in problems))
        self.problems = problems
