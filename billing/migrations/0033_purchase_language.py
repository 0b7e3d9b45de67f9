"""The language of a purchase's payment page."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0032_credit_adjustments")]
    operations = [
        migrations.AddField(
            model_name="purchase",
            name="language",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The buyer's setting, for the payment page; empty: the browser's.",
                max_length=10,
            ),
        ),
    ]
