"""Situations with which histories of a whole account begin, so that each rule is reached often.

A step is a move of `whole_account.py` or `bank_and_buyer.py` and what it chooses; what it does not name is
drawn.
"""

import random
from collections import Counter
from collections.abc import Iterator

from tests.billing.histories.rules import LEAST, RULES

_SITUATIONS = """
plan:
    buy_plan plan=creator interval=month; pay_a_page by=card card=visa

declined:
    buy_pack; pay_a_page by=card card=chargeDeclined; pay_a_page by=card card=chargeDeclined; pay_a_page
    by=card card=visa

confirmed by the bank:
    buy_pack; pay_a_page by=card card=authenticationRequired bank=fails; pay_a_page by=card
    card=authenticationRequired bank=passes; buy_pack; pay_a_page by=card card=authenticationRequired
    bank=passes

direct debits:
    turn_on currency=eur; buy_pack; pay_a_page by=sepa_debit; buy_pack; pay_a_page by=sepa_debit;
    settle_a_payment settles=False; settle_a_payment settles=True; hours

direct debit of a plan:
    turn_on currency=eur; buy_plan interval=month; pay_a_page by=sepa_debit; settle_a_payment
    settles=True; hours

bank transfers:
    buy_pack; pay_a_page by=customer_balance; transfer_a_part; transfer_a_part;
    settle_a_payment settles=True

yen:
    turn_on currency=jpy; buy_pack quantity=3 code=HALF; pay_a_page by=card card=visa; spend; ask_refund
    approve=True; buy_pack; pay_a_page by=card card=visa; refund_in_the_dashboard whole=False

dinars:
    turn_on currency=kwd; buy_pack quantity=3 code=HALF; pay_a_page by=card card=visa; spend; ask_refund
    approve=True; buy_pack; pay_a_page by=card card=visa; refund_in_the_dashboard whole=True

pages:
    buy_pack; close_page; buy_pack code=HALF; pay_a_page by=card card=visa; come_back; buy_pack
    code=ALL; redeem

upgrades:
    buy_plan plan=starter interval=month; pay_a_page by=card card=visa; days days=3; change plan=creator
    interval=month after=0; change plan=studio interval=month after=0; change plan=studio interval=year
    after=5

downgrade:
    buy_plan plan=studio interval=month; pay_a_page by=card card=visa; change plan=starter
    interval=month after=0; change plan=studio interval=month after=0; change plan=creator
    interval=month after=0; to_renewal minutes=61

downgrade in the draft hour:
    buy_plan plan=studio interval=month; pay_a_page by=card card=visa; change plan=starter
    interval=month after=0; to_renewal minutes=1; resume_plan; change plan=studio interval=month
    after=0; hours hours=2

years:
    buy_plan plan=starter interval=year; pay_a_page by=card card=visa; days days=8; change plan=starter
    interval=month after=0; change plan=creator interval=month after=0; to_renewal minutes=61

cancelled:
    buy_plan interval=month; pay_a_page by=card card=visa; cancel_plan; resume_plan; cancel_plan;
    to_renewal minutes=61

paused:
    buy_plan plan=starter interval=month; pay_a_page by=card card=visa; pause_plan months=2; end_pause;
    pause_plan months=1; to_renewal minutes=61; to_renewal minutes=61

overdue:
    buy_plan interval=month; pay_a_page by=card card=chargeCustomerFail; to_renewal minutes=61; hours
    hours=1

overdue to its end:
    buy_plan interval=month; pay_a_page by=card card=chargeCustomerFail; to_renewal minutes=61; hours
    hours=1; days days=8; days days=8; days days=8

credit at Stripe:
    buy_plan plan=starter interval=month; pay_a_page by=card card=visa; credit_at_stripe amount=90000;
    change plan=creator interval=month after=0; to_renewal minutes=61

upgrade below the smallest charge:
    buy_plan plan=starter interval=month; pay_a_page by=card card=visa; days days=8;
    almost_pay_an_upgrade; change plan=creator interval=month after=0; to_renewal minutes=61

tax added to the price:
    turn_on tax=exclusive; buy_pack; pay_a_page by=card card=visa country=DE; spend; ask_refund
    approve=True; buy_pack; pay_a_page by=card card=visa country=FR; refund_in_the_dashboard whole=False

tax within the price:
    turn_on tax=inclusive; buy_pack code=HALF; pay_a_page by=card card=visa country=DE;
    refund_in_the_dashboard whole=False; dispute_a_charge kind=whole; go_on_with_a_dispute to=lost

tax of a plan:
    turn_on tax=exclusive; buy_plan plan=starter interval=month; pay_a_page by=card card=visa
    country=DE; days days=8; change plan=creator interval=month after=0; to_renewal minutes=61

invitation:
    accept_invitation; reward; buy_pack; pay_a_page by=card card=visa; come_back; reward; spend;
    refund_in_the_dashboard whole=True; reward; refund_fails; reward

invitation and a dispute:
    accept_invitation; buy_plan interval=month; pay_a_page by=card card=visa; reward; dispute_a_charge
    kind=whole; go_on_with_a_dispute to=lost; reward; go_on_with_a_dispute to=decision-reversed; reward

two plans:
    two_plans; two_plans; come_back

top-up:
    turn_on top_up=yes; save_card card=visa; spend; top_up; hours hours=25; top_up

top-up declined:
    turn_on top_up=yes; save_card card=visa; declined_top_up; hours hours=25; declined_top_up

top-up to confirm:
    turn_on top_up=yes; save_card card=authenticationRequired bank=passes; top_up; hours hours=25;
    top_up

refunds:
    buy_pack; pay_a_page by=card card=visa; ask_refund approve=False; ask_refund approve=True; buy_pack;
    pay_a_page by=card card=visa; spend; ask_refund approve=True

refunds at Stripe:
    buy_pack; pay_a_page by=card card=visa; refund_in_the_dashboard whole=False; refund_fails;
    refund_in_the_dashboard whole=True; refund_fails

won dispute:
    buy_pack; pay_a_page by=card card=visa; spend; dispute_a_charge kind=whole; go_on_with_a_dispute
    to=won; go_on_with_a_dispute to=appeal; go_on_with_a_dispute to=won

lost dispute:
    buy_pack; pay_a_page by=card card=visa; dispute_a_charge kind=whole; go_on_with_a_dispute to=lost;
    go_on_with_a_dispute to=appeal; go_on_with_a_dispute to=won

decision reversed:
    buy_pack; pay_a_page by=card card=visa; dispute_a_charge kind=whole; go_on_with_a_dispute to=lost;
    go_on_with_a_dispute to=decision-reversed

inquiries:
    buy_pack; pay_a_page by=card card=visa; buy_pack; pay_a_page by=card card=visa; dispute_a_charge
    kind=inquiry; go_on_with_a_dispute to=escalated; dispute_a_charge kind=inquiry; go_on_with_a_dispute
    to=inquiry-closed

prevented disputes:
    buy_pack; pay_a_page by=card card=visa; buy_pack; pay_a_page by=card card=visa; dispute_a_charge
    kind=blocked; dispute_a_charge kind=resolved
"""


def _situations(text: str) -> dict[str, list[str]]:
    """Read paragraphs that begin with a name and a colon; semicolons separate the steps."""
    named = (paragraph.partition(":") for paragraph in text.strip().split("\n\n"))
    return {name: " ".join(steps.split()).split("; ") for name, _, steps in named}


SITUATIONS: dict[str, list[str]] = {"any": [], **_situations(_SITUATIONS)}


def drawn(visited: Counter[str], *, number: int, seed: int) -> Iterator[str]:
    """The situations of `number` histories: each once, then the one that leads most often to the rarest rule.

    The caller adds what a history has led to to `visited`. When each of RULES has LEAST visits, any situation
    is drawn.
    """
    chance = random.Random(seed)
    every = chance.sample(list(SITUATIONS), len(SITUATIONS))
    led: dict[str, Counter[str]] = {name: Counter() for name in every}
    taken: Counter[str] = Counter()
    for place in range(number):
        rarest = min(sorted(RULES), key=lambda rule: visited[rule])
        chances = {name: (led[name][rarest] + 0.1) / (taken[name] + 0.5) for name in every}
        if place < len(every):
            name = every[place]
        elif visited[rarest] >= LEAST:
            name = chance.choice(every)
        else:
            name = max(every, key=lambda name: chances[name])
        before = Counter(visited)
        yield name
        taken[name] += 1
        led[name] += visited - before
