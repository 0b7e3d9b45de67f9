"""Published rate cards and their rates cannot be changed or deleted by any database user."""

from django.db import migrations

PROTECT = """
CREATE FUNCTION pricing_protect_card() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'draft' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    -- The one change that a published card may see: being withdrawn.
    IF TG_OP = 'UPDATE' AND OLD.state = 'published' AND NEW.state = 'withdrawn'
       AND to_jsonb(OLD) - 'state' = to_jsonb(NEW) - 'state' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'rate card % is published: publish another one instead', OLD.version
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION pricing_protect_rate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_card uuid := CASE TG_OP WHEN 'INSERT' THEN NEW.card_id ELSE OLD.card_id END;
BEGIN
    IF EXISTS (SELECT FROM pricing_ratecard WHERE id = of_card AND state <> 'draft')
       OR (TG_OP = 'UPDATE' AND NEW.card_id <> OLD.card_id) THEN
        RAISE EXCEPTION 'the rates of a published card stay as they are: publish another card instead'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE TRIGGER pricing_card_protected BEFORE UPDATE OR DELETE ON pricing_ratecard
    FOR EACH ROW EXECUTE FUNCTION pricing_protect_card();
CREATE TRIGGER pricing_rate_protected BEFORE INSERT OR UPDATE OR DELETE ON pricing_rate
    FOR EACH ROW EXECUTE FUNCTION pricing_protect_rate();
"""

UNPROTECT = """
DROP TRIGGER pricing_rate_protected ON pricing_rate;
DROP TRIGGER pricing_card_protected ON pricing_ratecard;
DROP FUNCTION pricing_protect_rate();
DROP FUNCTION pricing_protect_card();
"""


class Migration(migrations.Migration):
    dependencies = [("pricing", "0001_initial")]

    operations = [migrations.RunSQL(PROTECT, UNPROTECT)]
