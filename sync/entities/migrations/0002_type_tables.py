"""Give type tables that were made before SyncProtocol v1 its two columns."""

from django.db import migrations

from metadata.ddl import add_system_columns


class Migration(migrations.Migration):
    """Additive; nothing to undo."""

    dependencies = [("sync_v1", "0001_initial"), ("metadata", "0001_initial")]

    operations = [migrations.RunPython(lambda apps, editor: add_system_columns(), migrations.RunPython.noop)]
