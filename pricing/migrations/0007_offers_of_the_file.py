"""What the file loaded last says of each plan, pack and sale, so that a load keeps what staff changed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pricing", "0006_drafts_locked_by_rates")]

    operations = [
        migrations.AddField(
            model_name="catalogue",
            name="offers",
            field=models.JSONField(
                db_default={},
                default=dict,
                help_text="SHA-256 of each plan, pack and sale in the file, by key.",
            ),
        ),
    ]
