"""Withdrawn plan payments, states of disputes that can change again, references of refunds, claw-backs by grant."""

import django.db.models.deletion
from django.db import migrations, models

from billing.ledger import installation

# The money of an open or lost dispute has left, except for the inquiries of banks.
DISPUTES = """
update billing_dispute set version = 1,
  withdrawn = status in ('open', 'lost') and stripe_status not like 'warning%',
  status = case when stripe_status = 'warning_closed' then 'closed'
                when stripe_status like 'warning%' then 'inquiry' else status end
"""


def remove_former(apps, schema_editor):
    """A parameter was added: with both functions a call without it would be ambiguous."""
    installation.remove(schema_editor, ["ledger_claw_back"])


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0010_saved_cards'),
    ]

    operations = [
        migrations.AddField(
            model_name='dispute',
            name='case_type',
            field=models.CharField(blank=True, help_text="The card network's type of case.", max_length=40),
        ),
        migrations.AddField(
            model_name='dispute',
            name='version',
            field=models.PositiveIntegerField(default=0, help_text='Rises with every change.'),
        ),
        migrations.AddField(
            model_name='dispute',
            name='withdrawn',
            field=models.BooleanField(default=False, help_text='Whether the money has left.'),
        ),
        migrations.AddField(
            model_name='refund',
            name='reference',
            field=models.CharField(blank=True, help_text="Number with which the buyer's bank finds the refund.", max_length=255),
        ),
        migrations.AddField(
            model_name='refund',
            name='reference_status',
            field=models.CharField(blank=True, help_text="Stripe's pending, available or unavailable.", max_length=20),
        ),
        migrations.AlterField(
            model_name='dispute',
            name='status',
            field=models.CharField(choices=[('inquiry', 'Inquiry'), ('open', 'Open'), ('won', 'Won'), ('lost', 'Lost'), ('closed', 'Inquiry closed'), ('prevented', 'Prevented')], default='open', max_length=9),
        ),
        migrations.AlterField(
            model_name='refund',
            name='status',
            field=models.CharField(choices=[('requested', 'Requested'), ('refused', 'Refused'), ('approved', 'Approved'), ('pending', 'Pending'), ('done', 'Refunded'), ('failed', 'Failed'), ('withdrawn', 'Withdrawn')], default='requested', max_length=9),
        ),
        migrations.CreateModel(
            name='WithdrawnPlanPayment',
            fields=[
                ('purchase', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='withdrawn_plan_payment', serialize=False, to='billing.purchase')),
                ('withdrawn', models.BooleanField(help_text='Whether all of its money has left.')),
                ('due', models.BooleanField(help_text='Whether the subscription at Stripe has yet to follow.')),
                ('changed_at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('due', True)), fields=['changed_at'], name='withdrawn_payment_due')],
            },
        ),
        migrations.RunSQL(DISPUTES, migrations.RunSQL.noop),
        migrations.RunPython(remove_former, migrations.RunPython.noop),
        migrations.RunPython(installation.install, migrations.RunPython.noop),
    ]
