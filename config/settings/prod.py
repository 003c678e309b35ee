"""Production: DEBUG is always off, whatever the environment says."""

import os

os.environ["DEBUG"] = "0"

from config.settings.base import *  # noqa: F403
