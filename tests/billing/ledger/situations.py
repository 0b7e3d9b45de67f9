"""Situations in which rules of the reference model decide, the moves that concern each, and fixed histories.

A situation is a list of moves that lead to it; after `then` come moves of which each history takes some. A
move is its name and its parameters (see `moves.py`), the first ones by their place: `hold 3 p minutes=90`
holds 3 credits for the project. `x3` makes it three times. `which` chooses among charges, holds, purchases or
claw-backs; without it a history draws one.
"""

from typing import Any

from tests.billing.ledger.tree_situations import TREES

Step = tuple[str, dict[str, Any]]
PLACES = {  # parameters by their place
    **{
        "grant": ["credits"],
        "buy": ["credits"],
        "owe": ["credits"],
        "adjust": ["credits"],
        "warn": ["below"],
    },
    **{
        "charge": ["credits", "by"],
        "hold": ["credits", "by"],
        "child": ["credits", "by"],
        "report": ["credits"],
        "capture": ["credits"],
        "reverse": ["credits"],
    },
    **{"claw_back": ["credits"], "plan": ["name"], "limit": ["kind", "maximum", "period"], "wait": ["hours"]},
    **{"wait_for": ["what", "micros"], "move_to": ["zone"]},
}
NUMBERS = {"which", "days", "files", "micros", "minutes", "most", "anchor_days", "hours", "priority"}
CHOOSING = {"charge_again", "capture", "release", "reverse", "claw_back", "restore", "request_again"}
CHOOSING |= {"child", "report"}


def _value(name: str, text: str) -> Any:
    if text in {"none", "yes"} and name != "name":
        return None if text == "none" else True
    if name == "of":
        return text.split(",")
    if name == "body":
        return text.encode()
    return int(text) if name in NUMBERS else text


def steps_of(text: str) -> list[Step]:
    """Read moves that are separated by semicolons."""
    return [step for move in " ".join(text.split()).split("; ") if move for step in _repeated(move.split())]


def _repeated(words: list[str]) -> list[Step]:
    times = int(words.pop()[1:]) if words[-1][0] == "x" else 1
    move, plain = words[0], [word for word in words[1:] if "=" not in word]
    named = dict(word.split("=") for word in words[1:] if "=" in word)
    if move == "charge_many":
        uses = [word.partition(":") for word in plain]
        terms: dict[str, Any] = {"wanted": [{"credits": credits, "by": by} for credits, _, by in uses]}
    else:
        terms = {name: _value(name, word) for name, word in zip(PLACES.get(move, []), plain, strict=False)}
    terms |= {name: _value(name, word) for name, word in named.items()}
    return [(move, ({"which": None} if move in CHOOSING else {}) | terms)] * times


def _named(text: str) -> dict[str, str]:
    """Read paragraphs that begin with a name and a colon."""
    return {
        name: moves
        for name, _, moves in (paragraph.partition(":\n") for paragraph in text.strip().split("\n\n"))
    }


_SITUATIONS = """
no credits:
    then charge 1; hold 1; charge 0; hold 0; buy; plan pro; adjust 1 take=yes

several grants:
    grant 3 days=1; grant 7.25 of=gpt-4o days=2; grant 3 days=3; grant 7.25 of=gpt-4o days=3; grant 40;
    grant 1 of=tag:image same_instant=yes; hold two; capture third which=0; charge all+ covers=image;
    hold all+ covers=image x2; hold two; capture held which=0; charge all+ covers=image x2; charge all
    then charge two; hold two; charge all+ covers=image; hold all+ covers=image; hold all; charge all;
    capture 0; capture third; capture held; capture held+; capture all; capture all+; reverse last;
    adjust two take=yes

in debt:
    limit quota 40 month; grant 7.25; owe 40; charge 0; hold 0; charge 0 files=1; hold 0 files=1; charge
    1 covered=yes; charge 1; hold 1; charge 0; hold 0; charge 0 files=1; hold 0 files=1; charge 1
    covered=yes; charge 1; hold 1
    then charge 0 files=1; charge 1 covered=yes; charge 1; hold 1; hold 0; grant debt; grant 3; adjust
    debt; adjust 1; reverse; plan pro

held, then in debt:
    grant 40; hold 1 x8; owe 150; capture held which=0; capture third which=0; capture held+ which=0;
    capture held which=0; capture third which=0; capture held+ which=0; capture held which=0
    then capture 0; capture third; capture held; capture held+; capture all; capture all+; capture held;
    release; restore; wait 2

held, then in a small debt:
    grant 150; charge 7.25 x2; hold some x3; owe 3; release which=0; owe 3; release which=1; owe 3;
    capture third which=0; owe 3; adjust debt; owe 3; adjust 1; adjust 1 x2; owe 3; reverse left
    which=0; owe 3; reverse left which=0
    then owe 3; adjust debt; grant debt+; restore; reverse; plan pro

held, clawed back and ended:
    buy 40 days=1 first=yes; hold third minutes=3000; hold some minutes=1500 x2; claw_back which=0;
    restore which=0; claw_back which=0; wait_for grant; wait_for hold; charge 0
    then capture third; release; restore; wait_for hold; claw_back

uncollected:
    grant 40 days=2; limit project 150 day; hold 3 p; hold 1 p; hold 1; charge some p; capture all+
    which=0 x2; reverse whole which=1; grant 3; capture all+ which=0; reverse third which=1; reverse
    left which=1
    then reverse whole; reverse left; reverse third; charge limit p; capture all+

limit of a project:
    grant 150; limit project 7.25 day; hold 1 p x2; charge 1 p; charge limit+ p; hold limit+ p; charge
    limit+ pm; hold limit+ pm; release which=0 x2; hold 1 p minutes=1 x2; wait 1; charge limit p; charge
    micro p
    then charge limit+ p; charge limit p; hold limit+ p; hold limit p; capture 0; capture third; capture
    held; capture held+; capture all; capture all+; release; reverse; wait_for window; limit project
    used day; limit project 3 day; limit project none day; limit project 40 month

limits of a member and of a key:
    grant 150; limit member 40 month; limit key 7.25 ever; hold 1 mk; charge 1 mk; charge 1 pmk; charge
    limit+ m; hold limit+ m; charge limit+ k; hold limit+ k; charge limit+ k x2; hold 1 mk x2; hold
    limit+ k; charge limit+ m; hold limit+ m
    then charge limit+ m; hold limit+ m; charge limit+ k; hold limit+ k; hold limit pmk; capture 0;
    capture third; capture held; release; reverse; limit key none day; limit key 7.25 ever; limit member
    used day

limit of the account:
    grant 150; limit account 40 month; hold 1 p; charge 1 m; charge limit+; hold limit+ k; charge limit+ p;
    hold limit+; hold 1; release which=0; charge limit+; hold limit+
    then charge limit+; hold limit+ p; charge limit; hold limit m; capture 0; capture third; capture held;
    release; reverse; wait_for window; limit account used month; limit account none month; limit account 40
    day

limit in debt:
    limit project 3 day; grant 7.25; owe 40; charge limit+ p; hold limit+ p; limit project 3 day; charge
    limit+ p x2; hold limit+ p x2
    then charge limit+ p; hold limit+ p; charge limit p; claw_back

a window turns beside uses:
    grant 150; limit project 40 day; hold 3 p minutes=3000 x4; hold 3 p minutes=1501; charge 3 p x2;
    wait_for window; charge 7.25 p; release which=0 x2; reverse third which=0; reverse left which=1;
    capture held which=0; capture third which=0
    then reverse which=0; release which=0; capture held which=1; capture third which=0; wait_for hold;
    reverse third which=0

a window turns beside a hold:
    grant 150; limit project 40 day; hold 3 p minutes=1500 x2; hold 1 p minutes=4000; wait_for window;
    charge 7.25 p; wait_for hold; charge 1 p
    then release; capture held; capture third; charge limit p; wait_for hold; hold 1 p minutes=90

files:
    limit quota 6 month; grant 40; charge 3 files=3; reverse third which=0 x2; hold 1 files=1; charge 0
    files=1; hold 1 files=1; hold 0 files=1; charge 1 files=6; hold 1 files=6 x2; charge 1 files=6 x2;
    capture held which=0 files=2; capture held which=0 files=0; hold 0 files=1
    then reverse third which=0; reverse left which=0; reverse which=6; charge 1 files=3; hold 1 files=3;
    hold 1 files=1; capture held files=2; capture held files=0; release; charge 1 covered=yes files=1;
    hold 0 files=1; limit quota used month

free uses:
    limit quota 40 month; charge 0; charge 0 files=1; charge 0; charge 1 covered=yes files=1; hold 0 x5;
    capture 0 which=6 covered=yes; capture 0 which=13 covered=yes; release which=20; release which=27;
    reverse which=13; reverse which=9; capture 0 which=34; charge 1 covered=yes x2; hold 0 minutes=1 x2;
    wait 1; charge 0
    then reverse; capture 0; release; capture 0 covered=yes; wait_for hold

uses before their limit:
    grant 40 days=1; charge 3 pmk; hold 1 pm; limit member 40 day; limit project 40 day; limit project 3
    day x2; limit member 3 day; limit key 1 day; limit key none day x2; limit quota none day; limit
    project micro; limit key micro; limit member 3 month; limit project 3 ever; limit member none
    then limit key 3 day; limit member none day; limit member used day; limit member 40 month; charge 1
    pmk; reverse; limit quota none day; limit quota 3 day

threshold:
    grant 40; warn 7.25; charge threshold; charge micro; grant 1; grant 7.25; charge threshold+; grant
    40; charge threshold+
    then charge threshold; charge threshold+; charge all; hold threshold+; grant 7.25; adjust 1
    take=yes; warn now; warn now+; warn none; warn 7.25

low:
    grant 7.25 days=1; warn 40 x4; wait_for grant; grant 150 kind=promotion; charge all; grant 150
    kind=promotion; charge all; grant 150
    then charge all; charge first; hold all; plan pro; grant 150 days=1; wait_for grant; charge_many
    some threshold+

adjusted:
    grant 3 days=1; grant 7.25 kind=promotion; adjust 1 take=yes; adjust first+ take=yes; adjust all+
    take=yes x2; adjust all take=yes; adjust 3; adjust all take=yes; adjust 7.25; adjust 7.25 take=yes;
    adjust 3; adjust all take=yes
    then adjust 3; adjust some take=yes; owe; hold some; request_again

plan of a day:
    plan free; charge first; plan free; owe 3; wait_for renewal; owe 3; wait_for renewal; owe 3;
    wait_for renewal; charge 0; plan lasting; charge some; wait 80; charge some; plan lasting; plan none
    then plan lasting; plan none; plan free; wait_for renewal; wait_for renewal -1; wait 80; move_to
    Pacific/Kiritimati; move_to UTC

zone of a day:
    plan free; move_to Asia/Kathmandu; wait_for renewal; move_to UTC; wait_for renewal; move_to
    Pacific/Kiritimati; wait_for renewal; charge first; wait 80; charge first; wait 80; charge 0;
    move_to America/New_York; wait_for renewal; charge 0
    then move_to UTC; move_to America/New_York; wait_for renewal; wait_for renewal -1; limit project 40
    day; charge 1 p

plan of a month:
    plan pro; charge some; plan max carry=yes; plan max anchor_days=-9; plan max anchor_days=0; plan max
    anchor_days=-9; plan pro carry=yes; plan max carry=yes; plan none
    then plan pro carry=yes; plan monthly; plan pro anchor_days=-9; plan free; plan none; wait_for
    renewal; claw_back named=yes; hold first minutes=3000

plan put off:
    plan pro anchor_days=3; plan pro anchor_days=9; plan pro anchor_days=3; plan pro; charge first
    then plan pro anchor_days=9; plan max anchor_days=3; plan none; plan pro; wait 24

plan left while held:
    plan pro; hold first minutes=3000 x2; plan free; plan pro; hold first minutes=3000; plan none
    then capture 0; capture third; capture held; release; wait_for hold; plan max carry=yes; plan none

plan that ends:
    plan trial days=3; charge first; plan none; plan trial; plan trial anchor_days=1; plan monthly; plan
    trial; plan monthly
    then wait 80; wait_for renewal; plan monthly; plan trial days=3; plan pro anchor_days=2

missed days in debt:
    plan free; move_to Asia/Kathmandu; owe 40; wait 80; charge 0
    then wait 80; plan pro; restore; grant debt-; plan free

bought and spent:
    buy 40 days=1 first=yes; grant 7.25; charge 3; claw_back which=0 x2; claw_back which=0
    unspent_only=yes x2; restore which=1; restore which=1; restore which=2; restore which=1; restore
    which=0; buy 7.25; claw_back which=1; buy 7.25; claw_back half which=2; restore which=4
    then claw_back; claw_back half; claw_back unspent; claw_back unspent+; claw_back unspent_only=yes;
    restore; reverse; charge all

all of it spent:
    buy 40 first=yes; charge first; claw_back 1 which=0; claw_back 3 which=0; claw_back 7.25 which=0;
    claw_back which=0; restore which=0; restore which=1; claw_back 1 which=0; claw_back 3 which=0
    then restore; grant debt-; grant 3; restore; claw_back; reverse third

clawed back and repaid:
    buy 40 first=yes; charge 7.25; claw_back which=0; grant debt-; charge 0; owe 3
    then restore; claw_back; grant debt; grant 3; reverse; owe

two debts:
    buy 40 first=yes; charge first; buy 40 first=yes; charge first; claw_back which=0; grant 7.25; grant
    40; claw_back which=1; restore which=0; claw_back which=0; restore which=2; restore which=1
    then restore; grant 3; reverse; claw_back

booked, then reversed:
    buy 40 first=yes; charge 7.25; claw_back unspent+ which=0; restore which=0; claw_back unspent+
    which=0; restore which=1; claw_back unspent+ which=0; claw_back which=0; reverse third which=0 x2
    then claw_back; restore; reverse; reverse third; grant 3

clawed back after its end:
    buy 40 days=1 bonus=yes first=yes; charge 7.25; claw_back 3 which=0; wait_for grant; claw_back
    which=0; restore which=0
    then restore; reverse; claw_back; grant debt

spent, then ended:
    grant 7.25 days=1; grant 3 days=1; charge all; wait 40; reverse left+ which=0 x2; reverse left
    which=0; reverse left which=6 x2
    then reverse; reverse third; reverse last; reverse left+; owe; wait_for grant

hold that ends with its grant:
    grant 40 days=1; hold some minutes=1440; hold 0 minutes=90 x2; hold some minutes=3000; wait_for
    grant; charge 0; release which=0
    then capture 0; capture third; release; wait_for hold; wait_for hold 1

closed holds:
    grant 40; hold 1 x2; hold 1 most=2; release which=0; capture held which=0; release which=6; release
    which=27; hold 1 most=1; hold 1 most=1 x2; hold 1 minutes=1; wait 1; release which=20 x2; capture 0
    which=20; capture 0 which=27 x2; release which=27 x2; capture 0 which=13; release which=13; capture
    0 which=20
    then capture held which=6; release which=6; hold 1 minutes=1; wait 2; capture 0 which=27; release
    which=27; hold 1 most=1; hold 0

requests come again:
    grant 40; charge 3; hold 3; capture held which=0; request_again; charge_again body=other x3;
    charge_again which=0 x2; request_again which=1; request_again which=2; request_again which=1
    body=other; request_again which=2 body=other
    then request_again; request_again body=other; charge_again; reverse; charge_many 1 1 1 repeat=yes

nearly too much:
    sizes; grant 150; buy 900 x2; grant 150; adjust 150 x2; grant 150; adjust 150; grant 1 days=0 x2
    then grant 150; grant 1 days=0; adjust 1; buy 3; hold all; adjust all+ take=yes

many at once:
    sizes; grant 3 days=1 x2; grant 40; charge two; hold 3; charge_many first 1:p repeat=yes;
    charge_many 1 1 1
    then charge_many some some some some; adjust all take=yes; hold all; capture 0; capture third;
    capture held; capture held+; capture all; capture all+; reverse; claw_back; limit project 40 ever;
    wait_for grant
"""
SITUATIONS: dict[str, tuple[list[Step], list[Step]]] = {}
for _name, _moves in _named(_SITUATIONS + TREES).items():
    _first, _, _then = _moves.partition("then ")
    SITUATIONS[_name] = (steps_of(_first.rstrip()), steps_of(_then))

# Histories in which the ledger once differed from the model, or broke a rule of money.
_FOUND = """
credits of a reversed use belong to the grant that the charge drew on:
    buy 40 days=1 first=yes; charge first; wait 40; reverse left which=0; claw_back which=0; restore
    which=0

credits that return to an empty grant end with it:
    grant 3 days=1; hold all minutes=90; release which=0; wait_for grant; charge 1

a hold that ends before its empty grant lets it expire:
    grant 3 days=1; hold all minutes=90; wait 40; charge 1

what is unspent is taken before anything is owed, over the whole purchase:
    buy 40 bonus=yes first=yes; charge first; claw_back half which=0; claw_back which=0

carried credits are carried on:
    plan pro; charge some; plan max carry=yes; plan pro carry=yes; wait_for renewal; charge 1

a plan that was to begin later begins at once:
    plan trial; wait 40; plan free anchor_days=20; plan trial anchor_days=20; plan none; plan trial; wait 24

a batch repeats the last key that a client sent, not that of an expired hold:
    grant 3 days=1; hold 3 minutes=1 at_expiry=capture_estimate; wait_for hold;
    charge_many 7.25 repeat=yes

a capture counts a quota that its hold did not name:
    limit quota 6 month; grant 40; hold 3; capture held which=0 files=2; charge 1 files=6

a free use gives its quota back once:
    limit quota 6 month; charge 0 files=3; reverse left which=0; reverse left which=0; charge 0 files=6

a partial reversal gives whole counts of a quota back:
    limit quota 6 month; grant 40; charge 7.25 files=5; reverse third which=0 x3; reverse left which=0

a plan that comes back after its period has renewals:
    plan pro; plan none; wait 1680; plan pro; wait_for renewal; charge some

what is given at one instant repays debt in spending order:
    plan max; owe 150; owe 150; wait_for renewal; wait_for renewal; charge 1

an expiry down to the threshold gives one notice:
    grant 7.25 days=1; grant 40; warn 40; wait_for grant; charge micro; charge 1

a change of plan warns of its end only:
    plan pro; warn 40; plan max; plan none

a window begins at its microsecond:
    grant 40; limit project 3 day; charge 3 p; wait_for window -1; charge micro p; wait_for window;
    charge 3 p

a change of zone gives no second day:
    grant 40; plan free; limit project 3 day; charge 3 p; move_to zone=Pacific/Kiritimati; wait 7;
    charge 3 p; wait_for window; charge 3 p; move_to zone=UTC; wait_for window; charge 3 p

a new limit counts what its window has seen, a running hold too:
    grant 40; charge 3 pmk; hold 1 pm; reverse third which=0; limit member 3 day; charge micro m;
    release which=0; charge 1 m

a free use is allowed in debt, and a capture above the hold draws nothing:
    grant 40; hold 1; owe 6; charge 0; hold 0; capture all which=0; reverse left which=2

what was not collected is not returned, nor counted:
    grant 3; limit project 40 day; hold all p; capture all+ which=0; reverse whole which=0; reverse left
    which=0; limit project used day

a reversal leaves the next window as it is:
    grant 40; limit project 40 day; charge 3 p; wait_for window; charge 1 p; reverse left which=0

terms that are set again change nothing:
    plan pro; plan pro; limit project 40 day; limit project 40 day; warn 40; warn 40; limit project
    none; limit project none

credits that a claw-back booked repay that debt when their grant has ended:
    buy 40 days=1 first=yes; hold third minutes=3000; claw_back which=0; wait_for grant; wait_for hold;
    charge 0

a won dispute repays no other debt with what was lifted:
    buy 40 first=yes; charge first; buy 3 first=yes; charge first; claw_back which=0; claw_back which=1;
    restore which=0

a missed day in which a hold of a tree ends is recorded, because a charge states the balance of its instant:
    grant 150; hold 7.25 minutes=3000; child third which=0; plan free days=3; wait 80; charge 0

a missed day in which a hold is captured at its end is recorded, and the days before and after it are not:
    grant 150; hold 7.25 minutes=3000 at_expiry=capture_estimate; plan free; wait 120; charge 0
"""
FOUND: dict[str, list[Step]] = {name: steps_of(moves) for name, moves in _named(_FOUND).items()}
