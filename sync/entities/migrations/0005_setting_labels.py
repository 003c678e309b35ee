from django.db import migrations, models


class Migration(migrations.Migration):
    """The labels of the setting change; its stored values do not."""

    dependencies = [("sync_v1", "0004_pull_state")]

    operations = [
        migrations.AlterField(
            "tenantsettings",
            "unknown_collections",
            models.CharField(
                choices=[("refuse", "Reject the push"), ("publish", "Publish an empty object type")],
                default="refuse",
                help_text="What to do when a push names a collection without a published object type.",
                max_length=10,
            ),
        )
    ]
