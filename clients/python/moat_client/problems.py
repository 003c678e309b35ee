"""The old place of `Problem`, for one release. Use `from moat_client import Problem`."""

from moat_client.deprecated import old_names
from moat_client.replica import problems as _problems

__getattr__ = old_names(__name__, {"Problem": ("moat_client.Problem", _problems.Problem)})
