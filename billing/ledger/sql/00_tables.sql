-- Room for updates in place: wallets and grants change with every movement, and a row that finds its new
-- version's place on its own page touches no index (HOT).
alter table billing_wallet set (fillfactor = 50);
alter table billing_grant set (fillfactor = 70);
alter table billing_limit set (fillfactor = 70);
-- A hold is written twice; its second version finds room beside the first.
alter table billing_hold set (fillfactor = 50);
