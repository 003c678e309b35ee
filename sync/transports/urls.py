"""HTTP URLs of the sync transports."""

from django.urls import include, path

from sync.transports import health, snapshots_http

urlpatterns = [
    path("v1/", include("sync.transports.v1.urls")),
    path("health", health.health, name="health"),
    path("metrics", health.metrics, name="metrics"),
    path("api/snapshots/<uuid:snapshot>/parts/<int:number>", snapshots_http.part, name="snapshot-part"),
]
