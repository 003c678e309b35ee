"""All URLs of the server, one line per area."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from config import web

urlpatterns = [
    path("", TemplateView.as_view(template_name="index.html"), name="index"),
    path("app/", web.app, name="app"),
    path("sw.js", web.service_worker, name="service-worker"),
    path("admin/", admin.site.urls),
    path("", include("sync.transports.urls")),
    path("api/", include("sync.transports.rest.urls")),
]

handler400 = "sync.transports.rest.handlers.bad_request"
handler404 = "sync.transports.rest.handlers.not_found"
handler500 = "sync.transports.rest.handlers.server_error"
