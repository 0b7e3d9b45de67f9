"""A change of a rate waits for the card that is being published, and is refused then.

Without the lock, a rate that changed while its card was published had not been simulated.
"""

from django.db import migrations

OPEN = "IF EXISTS (SELECT FROM pricing_ratecard WHERE id = of_card AND state <> 'draft')"
LOCKED = """-- Waits for a transaction that publishes the card, and keeps others from publishing it.
    PERFORM FROM pricing_ratecard WHERE id = of_card FOR SHARE;
    IF EXISTS (SELECT FROM pricing_ratecard WHERE id = of_card AND state <> 'draft')"""

FUNCTION = """
CREATE OR REPLACE FUNCTION pricing_protect_rate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_card uuid := CASE TG_OP WHEN 'INSERT' THEN NEW.card_id ELSE OLD.card_id END;
BEGIN
    {condition}
       OR (TG_OP = 'UPDATE' AND NEW.card_id <> OLD.card_id) THEN
        RAISE EXCEPTION 'the rates of a published card stay as they are: publish another card instead'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("pricing", "0005_translations")]

    operations = [
        migrations.RunSQL(FUNCTION.format(condition=LOCKED), FUNCTION.format(condition=OPEN)),
    ]
