"""When the status or the refunds of a purchase last changed: the events of an account are read by it.

A trigger sets it, because many statements change purchases. Purchases of an earlier release have none: no stream has
begun before they changed.
"""

from django.db import migrations, models

CREATE = """
create or replace function purchase_changed() returns trigger
language plpgsql as $$
begin
  if tg_op = 'INSERT' or (new.status, new.refunded) is distinct from (old.status, old.refunded) then
    new.changed_at := clock_timestamp();
  else
    new.changed_at := old.changed_at;
  end if;
  return new;
end $$;
create trigger purchase_changed before insert or update on billing_purchase
  for each row execute function purchase_changed();
"""
DROP = "drop trigger purchase_changed on billing_purchase; drop function purchase_changed()"


class Migration(migrations.Migration):
    dependencies = [("billing", "0021_webhook_events")]
    operations = [
        migrations.AddField(
            model_name="purchase",
            name="changed_at",
            field=models.DateTimeField(
                editable=False,
                help_text="When status or refunds last changed, by the database's clock; set by a trigger.",
                null=True,
            ),
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
