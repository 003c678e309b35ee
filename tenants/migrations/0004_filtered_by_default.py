from django.db import migrations, models


class Migration(migrations.Migration):
    """Make new profiles filtered. The default applies to new rows only: existing profiles keep their access."""

    dependencies = [
        ('tenants', '0003_wording'),
    ]

    operations = [
        migrations.AlterField(
            model_name='securityprofile',
            name='full_access',
            field=models.BooleanField(default=False, help_text='Can see and edit every record of every object type. Cannot be combined with rules.'),
        ),
    ]
