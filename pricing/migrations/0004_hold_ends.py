"""What becomes of a hold of a service when nobody captures it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pricing", "0003_payment_methods")]
    operations = [
        migrations.AddField(
            model_name="service",
            name="at_expiry",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="What becomes of a hold that nobody captures; empty: it is released.",
                max_length=16,
            ),
        ),
    ]
