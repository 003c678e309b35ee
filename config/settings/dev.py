"""Development and the demo: DEBUG unless the environment says otherwise."""

import os

os.environ.setdefault("DEBUG", "1")

from config.settings.base import *  # noqa: F403
