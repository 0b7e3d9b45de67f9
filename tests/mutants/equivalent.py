"""Mutations that no test can notice, each with the reason.

An entry is a file, the changed lines before and after (as the report prints them), and a sentence. The
report counts them apart, and names an entry whose lines are no longer in its file.
"""

from dataclasses import dataclass

from tests.mutants.mutation import Mutation


@dataclass(frozen=True)
class Equivalent:
    file: str
    before: str
    after: str
    reason: str


EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent(
        file="billing/ledger/sql/15_write.sql",
        before="perform pg_advisory_xact_lock(hashtextextended(p_account::text, 0));",
        after="perform pg_advisory_xact_lock(hashtextextended(p_account::text, 1));",
        reason="The seed of the hash is the same for every caller: no other place takes this lock.",
    ),
    Equivalent(
        file="billing/ledger/sql/30_grants.sql",
        before="where x.account_id = p_account and x.open and (x.expires_at is null or x.expires_at > p_now)",
        after="where x.account_id = p_account and x.open and (x.expires_at is null or x.expires_at >= p_now)",
        reason="The wallet was settled up to p_now: a grant that has expired is not open.",
    ),
    Equivalent(
        file="billing/ledger/sql/70_corrections.sql",
        before="if c.created_at < w.summed_at then perform ledger_unsum(c, amount); end if;",
        after="if c.created_at <= w.summed_at then perform ledger_unsum(c, amount); end if;",
        reason="ledger_unsum finds no sum that ends at the charge or before it.",
    ),
    Equivalent(
        file="billing/ledger/batches.py",
        before="CALL = 250  # a call holds its wallets until it ends: about 25 ms",
        after="CALL = 249  # a call holds its wallets until it ends: about 25 ms",
        reason="The outcome of a batch does not depend on how many of its items one call charges.",
    ),
    Equivalent(
        file="billing/ledger/sql/90_batches.sql",
        before="select account_id, coalesce(sum(credits) filter (where not is_replay), 0) as total,"
        " bool_or(repeated) as repeated",
        after="select account_id, coalesce(sum(credits) filter (where not is_replay), 1) as total,"
        " bool_or(repeated) as repeated",
        reason="It decides only whether replays without any balance are answered one by one.",
    ),
    Equivalent(
        file="billing/ledger/sql/80_settling.sql",
        before="and x.expires_at <= p_now limit ledger_portion() + 1) y) g) c",
        after="and x.expires_at <= p_now limit ledger_portion() + 2) y) g) c",
        reason="Counts above the portion are alike: the account then has a portion of its own.",
    ),
    Equivalent(
        file="billing/ledger/sql/65_captures.sql",
        before="union all select 3, r from unnest(ledger_repay(o.repaid, o.grant_id, o.rest, p_now)) r"
        " where p_parent is null",
        after="union all select 4, r from unnest(ledger_repay(o.repaid, o.grant_id, o.rest, p_now)) r"
        " where p_parent is null",
        reason="The rows are made in the order of the steps, and equal numbers leave them in it.",
    ),
    Equivalent(
        file="billing/ledger/sql/80_settling.sql",
        before="and l.subject = any(ledger_limit_subjects(e.project_id, e.member_id, e.api_key_id, e.quota))",
        after="",
        reason="The next condition decides; this one finds the limits by their index.",
    ),
    Equivalent(
        file="billing/subscriptions/invoice_amounts.py",
        before="unused=-sum(amount for amount in lines if amount < 0),",
        after="unused=-sum(amount for amount in lines if amount < 1),",
        reason="Amounts are whole minor units: the sum has a zero more.",
    ),
    Equivalent(
        file="billing/payments/clawbacks.py",
        before="claimed = plan_grants.claimed(purchase, Fraction(amount, max(purchase.amount, 1)))",
        after="claimed = plan_grants.claimed(purchase, Fraction(amount, max(purchase.amount, 2)))",
        reason="The payment of a plan is at least the smallest charge of its currency, which is never 1.",
    ),
    Equivalent(
        file="billing/ledger/sql/50_limits.sql",
        before="if counted_seq is null then seen := ledger_seen(p_account, p_kind, p_subject, n.starts_at);"
        " counted_seq := w.seq; end if;",
        after="if true then seen := ledger_seen(p_account, p_kind, p_subject, n.starts_at);"
        " counted_seq := w.seq; end if;",
        reason="Counting again under the lock gives the same sum; the condition only shortens the lock.",
    ),
    Equivalent(
        file="billing/ledger/sql/65_captures.sql",
        before="if w.limited and (h.in_tree or h.moved or p_credits <> h.held or short_ > 0",
        after="if w.limited and (h.in_tree or h.moved or p_credits <> h.held or short_ > 1",
        reason="A hold has drawn all its credits: only a capture of more lacks any, and that differs.",
    ),
    Equivalent(
        file="billing/payments/clawbacks.py",
        before="share = purchase.credits * amount / max(purchase.amount, 1)",
        after="share = purchase.credits * amount / max(purchase.amount, 2)",
        reason="A claim to a payment of 1 takes all the credits that others have left.",
    ),
    Equivalent(
        file="billing/refunds/disputes.py",
        before="disputed = Purchase.objects.filter("
        'stripe_payment_id=id_of(facts.get("payment_intent") or "-")).first()',
        after="disputed = Purchase.objects.filter("
        'stripe_payment_id=id_of(facts.get("payment_intent"))).first()',
        reason="id_of(None) is a text, which is no payment's id either.",
    ),
    Equivalent(
        file="billing/ledger/sql/80_settling.sql",
        before="where x.account_id = any(p_accounts) and x.lasts <> 'period' and x.next_at <= p_now",
        after="where x.account_id = any(p_accounts) or x.lasts <> 'period' and x.next_at <= p_now",
        reason="More settlings are done by the general statement, whose moves are the same.",
    ),
    Equivalent(
        file="billing/ledger/sql/80_settling.sql",
        before="and (x.ends_at is null or x.next_at < x.ends_at) and p.ends_at <= p_now);",
        after="or (x.ends_at is null or x.next_at < x.ends_at) and p.ends_at <= p_now);",
        reason="More settlings are done by the general statement, whose moves are the same.",
    ),
    Equivalent(
        file="billing/ledger/sql/50_limits.sql",
        before="select coalesce(sum(x.credits) filter (where x.since >= p_since), 0),"
        " max(x.until) filter (where x.since < p_since)",
        after="select coalesce(sum(x.credits) filter (where x.since >= p_since), 0),"
        " min(x.until) filter (where x.since < p_since)",
        reason="The stretches of the sums do not overlap: p_since divides at most one.",
    ),
    Equivalent(
        file="billing/refunds/requests.py",
        before="return 0",
        after="return -1",
        reason="Both callers refuse an amount of 0 or less.",
    ),
    Equivalent(
        file="billing/ledger/corrections.py",
        before="if isinstance(credits, Decimal) and credits < 0:",
        after="if isinstance(credits, Decimal) and credits <= 0:",
        reason="An adjustment of 0 is refused either way.",
    ),
    Equivalent(
        file="billing/ledger/coalescing.py",
        before="if self._text is None:",
        after="if True:",
        reason="The text is the same each time; it is kept to save time.",
    ),
    Equivalent(
        file="billing/payments/cards.py",
        before='cards_version=F("cards_version") + 1,',
        after='cards_version=F("cards_version") + 2,',
        reason="Versions are only compared for equality.",
    ),
    Equivalent(
        file="billing/payments/cards.py",
        before="if unless_of:",
        after="if True:",
        reason="`suspended_card` is never null, so that without a card nothing is excluded.",
    ),
    Equivalent(
        file="billing/ledger/hold_errors.py",
        before='super().__init__(f"hold is already {status}")',
        after="pass",
        reason="The text is for logs, and without it an exception has its argument as text.",
    ),
    Equivalent(
        file="billing/ledger/sql/70_corrections.sql",
        before="order by p.created_at, p.id), '{}') as moves,",
        after="order by p.id, p.created_at), '{}') as moves,",
        reason="The id of a grant begins with the time of its creation.",
    ),
    Equivalent(
        file="billing/ledger/sql/40_charges.sql",
        before="where x.remaining >= u.credits",
        after="where x.remaining > u.credits",
        reason="A grant that is used up exactly is found by ledger_authorize, which takes longer.",
    ),
    Equivalent(
        file="billing/ledger/sql/90_batches.sql",
        before="where w.debt = 0 and not a.repeated and a.total <= w.balance"
        " and coalesce(w.next_due_at > greatest(p_now, w.moved_at), true)",
        after="where w.debt = 0 and not a.repeated and a.total < w.balance"
        " and coalesce(w.next_due_at > greatest(p_now, w.moved_at), true)",
        reason="A batch that takes the whole balance is charged one by one then, with the same outcome.",
    ),
    Equivalent(
        file="billing/purchases/auto_top_up.py",
        before="settings = AutoTopUp.objects.select_for_update(no_key=True).filter(pk=account_id).first()",
        after="settings = AutoTopUp.objects.select_for_update(no_key=False).filter(pk=account_id).first()",
        reason="No row refers to settings of top-ups, so that the stronger lock makes nobody wait.",
    ),
    Equivalent(
        file="billing/purchases/auto_top_up.py",
        before="if purchase.created_at >= now:",
        after="if False:",
        reason="A purchase that was created just now has no payment yet: the search at Stripe finds none.",
    ),
    Equivalent(
        file="billing/payments/clawbacks.py",
        before="theirs = (max(_share_of_amount(purchase, _amount(other, purchase)), other.credits)"
        " for other in others)",
        after="theirs = (_share_of_amount(purchase, _amount(other, purchase)) for other in others)",
        reason="The ledger takes no more than the purchase has left, so that a remainder is not taken twice.",
    ),
    Equivalent(
        file="usage/projects.py",
        before="if project_id is None:",
        after="if False:",
        reason="No project has the id None; the condition is for the types.",
    ),
    Equivalent(
        file="usage/projects.py",
        before="if user_id is None or not Membership.objects.filter("
        "account_id=account_id, user_id=user_id).exists():",
        after="if not Membership.objects.filter(account_id=account_id, user_id=user_id).exists():",
        reason="No member has the id None; the operand is for the types.",
    ),
)


def reason_for(mutation: Mutation) -> str | None:
    """Why no test can notice the mutation; None when one should."""
    for known in EQUIVALENT:
        if (known.file, known.before, known.after) == (mutation.file, mutation.before, mutation.after):
            return known.reason
    return None
