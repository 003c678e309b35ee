"""ASGI entry point: HTTP goes to Django, `/ws/sync` to the sync consumer, lifespan events to the sync runtime."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished

from config.connections import close_sockets_with_codes, close_with_request
from config.private_files import create_private_files

create_private_files()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.prod")
django_application = get_asgi_application()

# Django must be set up before any module that has models is imported.
from sync.transports.bodies import BodyGuard  # noqa: E402
from sync.transports.routing import websocket  # noqa: E402
from sync.transports.socket.websocket import lifespan  # noqa: E402

request_finished.connect(close_with_request)
close_sockets_with_codes()
application = ProtocolTypeRouter({"http": BodyGuard(django_application), "websocket": websocket, "lifespan": lifespan})
