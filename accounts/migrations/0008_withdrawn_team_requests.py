"""A request for a team account can be withdrawn."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_language")]
    operations = [
        migrations.AlterField(
            model_name="teamrequest",
            name="status",
            field=models.CharField(
                choices=[
                    ("open", "Open"),
                    ("approved", "Approved"),
                    ("declined", "Declined"),
                    ("withdrawn", "Withdrawn"),
                ],
                default="open",
                max_length=10,
            ),
        ),
    ]
