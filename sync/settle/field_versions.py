"""Pure: per field, the version and device of its last change, so that a merge finds what others changed since a base.

An entry is `[version, device]`, or `[version, device, other]` where `other` is the newest version in which any other
device changed the field. With `other`, a device's op made before it received a merge result is still concurrent with
the others' changes in that result. The key `*` stands for every field without an entry of its own, after a delete or
restore. Without it such a field has version 1, its insert. Writes without a device (None) always count as someone
else's.
"""

from collections.abc import Iterable
from typing import Any, Final

from sync.records.versions_column import Versions

ALL: Final = "*"


def is_foreign(entry: list[Any] | None, base: int, device: str | None) -> bool:
    """Whether an entry says that someone other than `device` changed the field after version `base`."""
    if entry is None or entry[0] <= base:
        return False
    if device is None or entry[1] != device:
        return True
    return len(entry) > 2 and entry[2] > base


def foreign_among(versions: Versions, fields: Iterable[str], base: int, device: str | None) -> set[str]:
    """Return which of the fields someone else changed after version `base`."""
    general = versions.get(ALL)
    return {name for name in fields if is_foreign(versions.get(name, general), base, device)}


def any_foreign(versions: Versions, base: int, device: str | None) -> bool:
    """Whether someone else changed anything after version `base`."""
    return any(is_foreign(entry, base, device) for entry in versions.values())


def touched(versions: Versions, fields: Iterable[str], version: int, device: str | None) -> Versions:
    """Return the versions after a change of some fields."""
    out = dict(versions)
    general = versions.get(ALL)
    for name in fields:
        entry = versions.get(name, general)
        # The common case: the same device changed the field before, and no other device in between.
        if entry is None or (len(entry) == 2 and entry[1] == device):
            out[name] = [version, device]
        else:
            out[name] = _entry(version, device, _other(entry, device))
    return out


def replaced(versions: Versions, version: int, device: str | None) -> Versions:
    """Return the versions after a change of the whole record: a delete or a restore."""
    other = max((_other(entry, device) for entry in versions.values()), default=0)
    return {ALL: _entry(version, device, other)}


def _other(entry: list[Any], device: str | None) -> int:
    """Return the newest version in an entry made by anyone but `device`; 0 for none."""
    if entry[1] != device:
        version: int = entry[0]
        return version
    return entry[2] if len(entry) > 2 else 0


def _entry(version: int, device: str | None, other: int) -> list[Any]:
    return [version, device, other] if other and device is not None else [version, device]
