-- Each wallet belongs to an account (the busy tables have no foreign keys in the database).
select 'wallet of account ' || w.account_id as subject, 'the account does not exist' as found
from billing_wallet w left join accounts_account a on a.id = w.account_id where a.id is null
