-- Each wallet's newest archive record whose position was not signed, whose sums differ from it, or whose records changed.
select a.account_id, a.archive_id,
       case when h.seq is null or (h.seq, h.head, h.balance, h.held, h.debt) <> (a.seq, a.head, a.balance, a.held, a.debt)
              then 'its position is not the one that checkpoint ' || a.checkpoint_id || ' signed'
            when w.account_id is null then 'the wallet is missing'
            when (s.seq, s.head, s.balance, s.held, s.debt) is distinct from (a.seq, a.head, a.balance, a.held, a.debt)
              then 'its sums do not add up to its position'
            else 'a record that an archived entry introduced was changed or removed' end as found
  from billing_archivedwallet a
  left join billing_head h on h.account_id = a.account_id and h.checkpoint_id = a.checkpoint_id
  left join billing_wallet w on w.account_id = a.account_id
  left join lateral jsonb_to_record(a.state->'wallets'->0) s(seq bigint, head bytea, balance numeric, held numeric, debt numeric) on true
 where not exists (select from billing_archivedwallet n where n.account_id = a.account_id and n.archive_id > a.archive_id)
   and (h.seq is null or (h.seq, h.head, h.balance, h.held, h.debt) <> (a.seq, a.head, a.balance, a.held, a.debt)
        or w.account_id is null
        or (s.seq, s.head, s.balance, s.held, s.debt) is distinct from (a.seq, a.head, a.balance, a.held, a.debt)
        or a.records_hash <> ledger_records_hash(a.account_id, a.seq))
 limit %(limit)s
