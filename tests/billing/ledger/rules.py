"""The rules and states of the reference model that a run has to visit (see `Book.visit`)."""

_RULES = """
    small sizes; zone changes; request again: the same outcome; request again: refused, another body;
    batch: charged; batch: refused

    grant: bonus; grant: promotion; grant: top_up; grant: refused, ended; grant: refused, too large;
    grant: above the largest balance

    charge: of several grants; charge: of a scoped grant; charge: of exactly all that is left; charge:
    of nothing; charge: of nothing in debt; charge: of nothing, with a quota; charge: of nothing in
    debt, with a quota; charge: covered; charge: covered in debt; charge: covered, with a quota; charge:
    with a quota; charge: counted by several limits; charge: key again; charge: key with another body;
    charge: refused in debt; charge: refused, not enough of credits; charge: refused, not enough for
    other services; charge: refused by a limit in debt; charge: refused by a limit of a project; charge:
    refused by a limit of a member; charge: refused by a limit of a key; charge: refused by a limit of the
    account; charge: refused by a limit of a
    quota

    hold: of several grants; hold: of a scoped grant; hold: of exactly all that is left; hold: of
    nothing; hold: of nothing in debt; hold: of nothing, with a quota; hold: of nothing in debt, with a
    quota; hold: with a quota; hold: counted by several limits; hold: refused in debt; hold: refused,
    too many; hold: refused, not enough of credits; hold: refused, not enough for other services; hold:
    refused by a limit in debt; hold: refused by a limit of a project; hold: refused by a limit of a
    member; hold: refused by a limit of a key; hold: refused by a limit of a quota;
    hold: refused by a limit of the account

    capture: below what is held; capture: exactly what is held; capture: above what is held; capture:
    below what is held in debt; capture: exactly what is held in debt; capture: above what is held in
    debt; capture: a part uncollected; capture: nothing above the hold collected; capture: covered;
    capture: of nothing; capture: another count of the quota; capture: of a hold on several grants;
    capture: refused, captured; capture: refused, released; capture: refused, expired

    hold released; hold released: of nothing; release: refused, captured; release: refused, released;
    release: refused, expired; hold expired; hold expired: of nothing

    child: at depth 2; child: at depth 3; child: at depth 4; child: made; child: of nothing; child: in
    debt; child: of several grants; child: of an ended grant; child: of exactly all that remains; child:
    key again; child: key with another body; child: refused, the parent is closed; child: refused, too
    deep; child: refused, too many; child: refused by a limit; child: refused, not enough remains;
    child: refused, not enough for its service; capture: refused, children are open; release: refused,
    children are open; capture: in a tree, of its child; capture: in a tree, of its root; tree: unused
    credits go to the parent; tree: a capture takes from the parent; tree: a capture takes from the
    holds above; tree: a part uncollected; limit: counts the parent already; limit: parent, counted in
    this window; limit: parent, counted in an earlier window; report: first; report: again; report:
    refused, closed; end: release releases; end: capture_reported releases; end: capture_reported
    captures; end: capture_estimate captures; end: capture_reported captures in a tree; end:
    capture_estimate captures in a tree; end: a part uncollected

    reverse: all; reverse: a part; reverse: after another reversal; reverse: to several grants; reverse:
    to a new grant; reverse: of a free use; reverse: a part of the quota's count; reverse: of a charge
    that is partly uncollected; reverse: of what is booked as debt; reverse: refused, more than is left;
    reverse: refused, nothing is left; reverse: refused, uncollected

    adjust: adds; adjust: takes; adjust: takes all; adjust: refused, not enough; adjust: refused, too
    large

    claw-back: unspent credits; claw-back: unspent credits, a part; claw-back: debt; claw-back: debt, a
    part; claw-back: both; claw-back: both, a part; claw-back: nothing; claw-back: only the unspent;
    claw-back: of held credits; claw-back: after another one; claw-back: of an ended grant; restore:
    credits; restore: debt; restore: both; restore: nothing; restore: to a new grant; restore: credits
    for debt that was repaid; restore: refused, restored before

    debt: grant repays all of it; debt: grant repays a part of it; debt: adjust repays all of it; debt:
    adjust repays a part of it; debt: allowance repays all of it; debt: allowance repays a part of it;
    debt: hold repays all of it; debt: hold repays a part of it; debt: reverse repays all of it; debt:
    reverse repays a part of it; debt: restore repays a part of it; debt: hold of an ended grant repays
    what is booked

    expiry: of the whole grant; expiry: of a part; expiry: of a hold to an ended grant; settle: exactly
    at the instant; settle: after the instant; settle: several effects at one instant

    allowance: given; allowance: given within its period; allowance: given before in this period;
    allowance: missed period; allowance: missed period, in which a hold ended; allowance: lasts longer
    than its period; allowance: begins later; allowance: once, and not again; allowance: another period;
    allowance: another anchor; allowance: did not begin, and has another anchor; allowance: day after a
    change of zone; allowance: carried over; allowance: ends with its plan; allowance: ends while held;
    terms: changed; terms: set again

    limit: set; limit: set again; limit: another maximum; limit: another period; limit: removed; limit:
    removed where there is none; limit: set after uses of its window; limit: set while a hold runs;
    limit: maximum below what is used; limit: exactly the maximum; limit: window turns; limit: counts
    for a project; limit: counts for a member; limit: counts for a key; limit: counts for a quota;
    limit: counts for the account;
    limit: capture, counted in this window; limit: capture, counted in an earlier window; limit: hold
    released, counted in this window; limit: hold released, counted in an earlier window; limit: hold
    expired, counted in this window; limit: hold expired, counted in an earlier window; limit: reversal,
    counted in this window; limit: reversal, counted in an earlier window

    notice: low; notice: depleted; notice: none at exactly the threshold; notice: none while it is low;
    notice: above the threshold again; notice: threshold set; notice: threshold set again
"""
RULES = frozenset(" ".join(rule.split()) for rule in _RULES.replace("\n\n", ";").split(";"))
