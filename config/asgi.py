"""ASGI entry point: HTTP to Django, `/ws/sync` to the sync consumer."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.prod")
django_application = get_asgi_application()

application = ProtocolTypeRouter({"http": django_application})
