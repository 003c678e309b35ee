"""The app of SyncProtocol v1: what it stores beside the log."""

from django.apps import AppConfig


class SyncV1Config(AppConfig):
    """Label `sync_v1`, so that its migrations stand alone."""

    name = "sync.entities"
    label = "sync_v1"
    verbose_name = "SyncProtocol v1"
