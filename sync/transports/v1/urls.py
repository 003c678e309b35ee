"""URLs under `/v1/`. A trailing slash is optional, so that nothing redirects."""

from django.urls import path, re_path

from sync.transports.v1 import stream, views

urlpatterns = [
    re_path(r"^handshake/?$", views.handshake, name="v1-handshake"),
    re_path(r"^pull/?$", views.pull_view, name="v1-pull"),
    re_path(r"^push/?$", views.push_view, name="v1-push"),
    re_path(r"^stream/?$", stream.stream, name="v1-stream"),
    re_path(r"^events/?$", stream.stream, name="v1-events"),
    re_path(r"^version/?$", views.version, name="v1-version"),
    path("openapi.json", views.openapi, name="v1-openapi"),
    path("", views.unknown, {"path": ""}, name="v1-root"),
    path("<path:path>", views.unknown, name="v1-unknown"),
]
