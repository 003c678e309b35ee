from django.db import migrations


class Migration(migrations.Migration):
    """The model has a name of its own; its table keeps the former one."""

    dependencies = [("sync_v1", "0003_profiles")]

    operations = [
        migrations.AlterModelTable("devicestate", "sync_v1_devicestate"),
        migrations.RenameModel("DeviceState", "PullState"),
    ]
