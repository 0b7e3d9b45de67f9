"""Adjustments of credits by staff; the constraints let nobody decide on their own request."""

import core.ids
import core.models
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0009_staff_roles'),
        ('billing', '0001_squashed_0031_further_thresholds'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CreditAdjustment',
            fields=[
                ('id', models.UUIDField(default=core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('credits', core.models.CreditsField(help_text='Positive: given. Negative: taken.')),
                ('reason', models.CharField(max_length=500)),
                ('token', models.UUIDField(help_text='Of the form: sent twice, it acts once.', unique=True)),
                ('needs_approval', models.BooleanField()),
                ('status', models.CharField(choices=[('requested', 'Waits for approval'), ('applied', 'Applied'), ('refused', 'Refused'), ('withdrawn', 'Withdrawn')], default='requested', max_length=10)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(help_text='A request that nobody has approved ends.')),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decision', models.CharField(blank=True, max_length=500)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='credit_adjustments', to='accounts.account')),
                ('decided_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['account', 'created_at'], name='adjustment_account')],
                'constraints': [models.CheckConstraint(condition=models.Q(('credits', 0), _negated=True), name='adjustment_is_not_zero'), models.CheckConstraint(condition=models.Q(('needs_approval', False), ('decided_by', None), models.Q(('decided_by', models.F('requested_by')), _negated=True), _connector='OR'), name='adjustment_is_decided_by_another'), models.CheckConstraint(condition=models.Q(('needs_approval', False), models.Q(('status', 'applied'), _negated=True), ('decided_by__isnull', False), _connector='OR'), name='adjustment_is_applied_after_approval')],
            },
        ),
    ]
