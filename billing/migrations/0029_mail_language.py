"""The language of an e-mail; those that wait at the upgrade are sent in English, as before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0028_drawn_by_grant")]
    operations = [
        migrations.AddField(
            model_name="mail",
            name="language",
            field=models.CharField(db_default="en", default="en", max_length=10),
        ),
        migrations.AlterField(
            model_name="mail",
            name="key",
            field=models.CharField(
                help_text="Identifies the event that it reports, and a further language; one e-mail for each key.",
                max_length=300,
                unique=True,
            ),
        ),
    ]
