"""What histories of payments have to lead to; a full run (`make histories`) leads to each LEAST times."""

LEAST = 30
_RULES = """
    card saved; change: upgrade; change: downgrade; change: keep; change: switch; change to years
    change to months; change: renewal_pending; immediate change without a payment; credit at Stripe
    plan cancelled; plan resumed; plan paused; pause ended; renewal; renewal in its draft hour
    payment page paid by card, paid; subscription page paid by card, paid; declined; authenticated
    authentication failed; delayed payment succeeded; delayed payment failed
    payment page paid by sepa_debit, unpaid; payment page paid by customer_balance, unpaid
    bank transfer of a part; paid in usd; paid in eur; paid in jpy; paid in kwd; paid by a code
    returned: paid; page closed: cancelled; pack page with a code; code redeemed; spent; reconciled
    top-up: paid; top-up: declined; top-up: authenticate; refund approved: done; refund refused
    refund of all in the dashboard; refund of a part in the dashboard; refund failed at the bank
    dispute opened: whole; dispute opened: inquiry; dispute opened: blocked; dispute opened: resolved
    dispute: won; dispute: lost; dispute: appeal; dispute: decision reversed; dispute: inquiry closed
    dispute: escalated; event late; event lost; process killed; response lost; Stripe down
    subscription active; subscription past_due; subscription canceled; second subscription paid
    paid with exclusive tax: pack, page; paid with inclusive tax: pack, page
    paid with exclusive tax: plan, page; paid with exclusive tax: plan, renewal
    upgrade below the smallest charge
    invitation accepted; referral: joined to rewarded; referral: rewarded to taken_back
    referral: taken_back to rewarded
"""
RULES = {rule.strip() for line in _RULES.strip().splitlines() for rule in line.split(";")}
