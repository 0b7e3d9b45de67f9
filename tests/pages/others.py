"""Conditions of the other pages: a charge, invitations, settings, and what members do not see."""

from tests.pages.case import Case, account, both, charge, hold, invited, policies, role, subscription

CHARGE, INVITATIONS = "/charges/{charge}/", "/billing/invitations/"

CASES = [
    # a charge
    Case(
        "unlimited",
        CHARGE,
        charge(covered_by="unlimited", drawn=[], credits=0),
        (">unlimited<", "this model is unlimited on your plan"),
        absent=("own key", "the call was free"),
    ),
    Case(
        "own key",
        CHARGE,
        charge(covered_by="own_key", drawn=[], credits=0),
        (">own key<", "used your own provider key"),
    ),
    Case("free", CHARGE, charge(drawn=[], credits=0), ("the call was free",)),
    Case("returned", CHARGE, charge(returned=2), (">returned<",), absent=("partly",)),
    Case("partly returned", CHARGE, charge(returned=1), (">partly returned<",)),
    Case(
        "uncollected",
        CHARGE,
        charge(uncollected=1),
        ("not fully collected", "Not collected: insufficient balance"),
    ),
    Case(
        "an amount",
        CHARGE,
        charge(detail={}),
        ("Charged as a fixed number of credits.",),
        ("Version 2026-11-01",),
    ),
    Case("action", CHARGE, charge(action="gpt-4o"), ("GPT-4o · Claude Sonnet 4",)),
    Case("conversation", CHARGE, charge(conversation="c 1"), ("by=conversation&only=c%201",)),
    Case("project", CHARGE, lambda world: charge(project_id=world.project.pk)(world), ('/">Bot</a>',)),
    Case(
        "member",
        CHARGE,
        lambda world: charge(member_id=world.user.pk)(world),
        ("<dt>Member</dt><dd>alice@example.org",),
    ),
    Case(
        "options",
        CHARGE,
        charge(detail={"options": {"quality": "high"}, "metadata": {"trace": "t-1"}}),
        ("<dt>quality</dt><dd>high</dd>", "<dt>trace</dt><dd>t-1</dd>"),
    ),
    Case(
        "multipliers",
        CHARGE,
        charge(
            detail={
                "lines": [
                    {
                        "meter": "image_tokens",
                        "quantity": "3",
                        "unit_credits": "2",
                        "per": 1,
                        "blocks": 2,
                        "multipliers": {"quality=high": "1.5", "service=gpt-4o": "2", "action=gone": "3"},
                        "credits": "9",
                    }
                ]
            }
        ),
        ("image tokens", "2 blocks, rounded up", "gone × 3, quality: high × 1.5, GPT-4o × 2"),
        ("per 5,000",),
    ),
    # invitations
    Case(
        "purchase",
        INVITATIONS,
        policies(
            referral={
                "inviter_credits": "7",
                "invited_credits": "3",
                "qualifies": "first_purchase",
                "lasts": "forever",
            }
        ),
        ("You get 7 credits, your friend gets 3, after their first purchase.",),
    ),
    Case(
        "charge",
        INVITATIONS,
        policies(
            referral={
                "inviter_credits": "7",
                "invited_credits": "3",
                "qualifies": "first_charge",
                "lasts": "forever",
            }
        ),
        ("You get 7 credits, your friend gets 3, after their first use.",),
    ),
    Case(
        "none",
        INVITATIONS,
        policies(referral=None),
        ("Invitation rewards are not available",),
        absent=("No invitations yet",),
    ),
    Case("joined", INVITATIONS, invited(), ("Signed up",)),
    Case("rewarded", INVITATIONS, invited(state="rewarded"), ('badge-good">Rewarded',)),
    Case(
        "refused", INVITATIONS, invited(state="no_reward", reason="same person"), ("No reward", "same person")
    ),
    # settings and the frame of every page
    Case(
        "for a member",
        "/settings/",
        role("member"),
        ("Only an owner of the account can change", "<dd>Wonderland</dd>"),
        ("Save account", "Buy more"),
    ),
    Case(
        "wall",
        "/settings/",
        subscription(plan="early-bird"),
        ("As an early member you can add", "Add my name"),
        absent=("Remove my name",),
    ),
    Case(
        "on the wall",
        "/settings/",
        both(subscription(plan="early-bird"), account(on_wall=True)),
        ("Remove my name", "is shown on the public memorial wall"),
        absent=("Add my name",),
    ),
    Case("no provider keys", "/settings/", policies(providers=[]), hidden=(">Provider keys<",)),
    Case("hold", "/settings/", hold, ("30 on hold for running calls",)),
    Case("hold", "/", hold, ("30 more credits are on hold for running calls.", "30 on hold</span>")),
    Case("for a member", "/", role("member"), hidden=(">Buy credits<", ">Compare plans<")),
    Case(
        "zone",
        "/settings/",
        account(zone="Asia/Tokyo"),
        ("Times are shown in Asia/Tokyo",),
        ("Times are shown in UTC",),
    ),
    Case(
        "for a member",
        "/keys/",
        role("member"),
        ("Ask an owner of the account to create one.",),
        ("Create API key",),
    ),
    Case(
        "for a member",
        "/billing/buy/",
        role("member"),
        ("Only owners and billing members can buy credits.",),
        ("Buy Small pack",),
    ),
    Case("for a member", "/projects/", role("member"), hidden=('name="daily_limit"',)),
]
