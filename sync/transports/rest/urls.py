"""URLs under `/api/`."""

from django.urls import path

from sync.transports.rest.bulk import BulkView
from sync.transports.rest.conflicts import ConflictsView, ConflictView, ResolveView
from sync.transports.rest.definitions import LayoutsView, ObjectsView, ObjectView, RootView
from sync.transports.rest.history import HistoryView
from sync.transports.rest.openapi import DocsView, SchemaView
from sync.transports.rest.records import RecordsView, RecordView
from sync.transports.rest.sessions import LoginView, LogoutEverywhereView, LogoutView, MeView

urlpatterns = [
    path("", RootView.as_view(), name="api-root"),
    path("login", LoginView.as_view(), name="api-login"),
    path("logout", LogoutView.as_view(), name="api-logout"),
    path("logout-everywhere", LogoutEverywhereView.as_view(), name="api-logout-everywhere"),
    path("schema", SchemaView.as_view(), name="api-schema"),
    path("docs", DocsView.as_view(), name="api-docs"),
    path("me/", MeView.as_view(), name="api-me"),
    path("objects/", ObjectsView.as_view(), name="api-objects"),
    path("objects/<str:object_name>/", ObjectView.as_view(), name="api-object"),
    path("layouts/", LayoutsView.as_view(), name="api-layouts"),
    path("conflicts/", ConflictsView.as_view(), name="api-conflicts"),
    path("conflicts/<str:conflict_id>/", ConflictView.as_view(), name="api-conflict"),
    path("conflicts/<str:conflict_id>/resolve/", ResolveView.as_view(), name="api-resolve"),
    path("records/<str:table>/", RecordsView.as_view(), name="api-records"),
    path("records/<str:table>/bulk/", BulkView.as_view(), name="api-bulk"),
    path("records/<str:table>/<path:record_id>/history/", HistoryView.as_view(), name="api-history"),
    path("records/<str:table>/<path:record_id>/", RecordView.as_view(), name="api-record"),
]
