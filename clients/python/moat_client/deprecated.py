"""Old names of public objects, kept for one release.

Pure: no I/O, clock, or randomness.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def warn_renamed(old: str, new: str) -> None:
    """Warn the caller's caller that a name is old."""
    warnings.warn(f"{old} is deprecated. Use {new}.", DeprecationWarning, stacklevel=3)


def old_names(module: str, renamed: Mapping[str, tuple[str, Any]]) -> Callable[[str], Any]:
    """Return a module's `__getattr__` that serves old names with a DeprecationWarning.

    `renamed` maps each old name to (the dotted path to use instead, the object).
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - becomes a module's __getattr__
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        path, found = renamed[name]
        warn_renamed(f"{module}.{name}", path)
        return found

    return __getattr__
