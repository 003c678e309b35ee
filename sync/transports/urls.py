"""HTTP addresses of the sync transports."""

from django.urls import path

from sync.transports import health, snapshots_http

urlpatterns = [
    path("health", health.health, name="health"),
    path("metrics", health.metrics, name="metrics"),
    path("api/snapshots/<uuid:snapshot>/parts/<int:number>", snapshots_http.part, name="snapshot-part"),
]
