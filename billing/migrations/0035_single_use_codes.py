"""Codes of a promotion that are redeemed once."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0011_view_as_customer'),
        ('billing', '0034_calls_name_their_account'),
    ]

    operations = [
        migrations.AddField(
            model_name='promotion',
            name='single_use',
            field=models.BooleanField(db_default=False, default=False, help_text='Users enter codes that you make or import. The code above is not accepted.', verbose_name='codes for one use'),
        ),
        migrations.CreateModel(
            name='SingleUseCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(help_text='Upper case.', max_length=40, unique=True)),
                ('batch', models.UUIDField(help_text='The form or import that made it, which acts once.')),
                ('created_at', models.DateTimeField()),
                ('promotion', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='single_use_codes', to='billing.promotion')),
            ],
        ),
        migrations.AddField(
            model_name='redemption',
            name='single_use_code',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='redemptions', to='billing.singleusecode'),
        ),
        migrations.AddConstraint(
            model_name='redemption',
            constraint=models.UniqueConstraint(condition=models.Q(('released_at', None)), fields=('single_use_code',), name='code_used_once'),
        ),
        migrations.AddIndex(
            model_name='singleusecode',
            index=models.Index(fields=['promotion', 'batch'], name='codes_by_batch'),
        ),
    ]
