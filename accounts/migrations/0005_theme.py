"""The appearance that a user has chosen; rows of earlier releases follow the device."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_webhooks")]
    operations = [
        migrations.AddField(
            model_name="user",
            name="theme",
            field=models.CharField(
                choices=[("system", "As the device"), ("light", "Light"), ("dark", "Dark")],
                db_default="system",
                default="system",
                max_length=6,
            ),
        ),
    ]
