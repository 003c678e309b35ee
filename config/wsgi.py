"""WSGI entry point, for tools that need one. The WebSocket needs ASGI (`config.asgi`)."""

import os

from django.core.wsgi import get_wsgi_application

from config.private_files import create_private_files

create_private_files()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.prod")
application = get_wsgi_application()
