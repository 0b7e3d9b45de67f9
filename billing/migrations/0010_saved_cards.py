"""The card of the subscription, the attempts of automatic top-up, and suspensions by payment method."""

from typing import Any

from django.db import migrations, models
from django.db.models import F, OuterRef, Subquery


def name_suspended_cards(apps: Any, schema_editor: Any) -> None:
    """A suspension named the card's fingerprint; now it names the payment method."""
    profiles = apps.get_model("billing", "BillingProfile").objects
    settings = apps.get_model("billing", "AutoTopUp").objects
    own = profiles.filter(pk=OuterRef("pk"), card_fingerprint=OuterRef("suspended_card"))
    suspended = settings.exclude(suspended_card="").filter(
        pk__in=profiles.exclude(card_fingerprint="").values("pk")
    )
    for row in suspended.annotate(card=Subquery(own.values("card_id")[:1])):
        settings.filter(pk=row.pk).update(suspended_card=row.card or "")
    profiles.update(default_method_id=F("card_id"))


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_purchase_tax")]

    operations = [
        migrations.AddField(
            model_name='autotopup',
            name='attempt_card',
            field=models.CharField(blank=True, help_text='The payment method of the last attempt; a repeated request has to name the same.', max_length=255),
        ),
        migrations.AddField(
            model_name='autotopup',
            name='payment_to_confirm',
            field=models.CharField(blank=True, help_text="The PaymentIntent that failed because the bank requires the cardholder's confirmation.", max_length=255),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='card_setup_at',
            field=models.DateTimeField(blank=True, help_text='When that session was created.', null=True),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='card_setup_id',
            field=models.CharField(blank=True, help_text='The last setup session whose card became the default.', max_length=255),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='cards_version',
            field=models.PositiveIntegerField(default=0, help_text='Rises with every synchronisation of the cards; 0 before the first.'),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='default_method_id',
            field=models.CharField(blank=True, help_text="The customer's default payment method at Stripe, of any type.", max_length=255),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='plan_card_brand',
            field=models.CharField(blank=True, help_text="Brand of the card, or Stripe's type of another method.", max_length=30),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='plan_card_expires',
            field=models.CharField(blank=True, help_text='MM/YYYY', max_length=7),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='plan_card_id',
            field=models.CharField(blank=True, help_text='Charged for the subscription.', max_length=255),
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='plan_card_last4',
            field=models.CharField(blank=True, max_length=4),
        ),
        migrations.AlterField(
            model_name='autotopup',
            name='suspended_card',
            field=models.CharField(blank=True, help_text='The payment method that failed; saving a card, the same one too, ends the suspension.', max_length=255),
        ),
        migrations.RunPython(name_suspended_cards, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name='billingprofile',
            name='card_fingerprint',
        ),
    ]
