"""Development and the demo: DEBUG is on unless the environment turns it off."""

import os
import sys

os.environ.setdefault("DEBUG", "1")

from config.settings.base import *  # noqa: F403
from config.settings.base import INSTALLED_APPS as COMMON_APPS

# daphne makes runserver support WebSockets. It loads Twisted, which no other command needs.
if sys.argv[1:2] == ["runserver"]:
    # Whitenoise serves static files here too, with the headers of the web client.
    INSTALLED_APPS = ["whitenoise.runserver_nostatic", "daphne", *COMMON_APPS]
