"""Development and the demo: DEBUG unless the environment says otherwise."""

import os
import sys

os.environ.setdefault("DEBUG", "1")

from config.settings.base import *  # noqa: F403
from config.settings.base import INSTALLED_APPS as COMMON_APPS

# daphne makes runserver speak WebSocket. It loads Twisted, which no other command needs.
if sys.argv[1:2] == ["runserver"]:
    # Static files come from whitenoise here too, with the headers of the web client.
    INSTALLED_APPS = ["whitenoise.runserver_nostatic", "daphne", *COMMON_APPS]
