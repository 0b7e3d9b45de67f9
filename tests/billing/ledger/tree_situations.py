"""Situations of child holds, and of holds that nobody captures, written as in `situations.py`."""

TREES = """
a tree of holds:
    grant 40 days=1; grant 40; hold all minutes=3000; child third which=0; child third which=1; child
    third which=2; child micro which=2 x2; child third which=3 x3; child third which=0 most=2 x3; child
    rest+ which=0 x3; child third which=0 again=yes x3; child third which=0 again=yes body=other x3;
    release which=0 x2; capture 0 which=0 x2; capture held+ which=3 x3; child rest which=2; capture
    held+ which=3; child rest which=2; capture held+ which=3; child 0 which=0 x3
    then capture third which=1; capture all+ which=2; release which=1; child rest; child rest+; capture
    0 which=4; capture third which=0; wait_for grant; wait_for hold; owe 6; child 0 which=0 x3; child
    rest x2; release which=6

a tree that ends:
    grant 7.25 days=1; grant 40; hold two minutes=90; child third which=0 minutes=30; child third
    which=1; child third which=2; wait_for hold; child rest which=0; wait_for hold; child third which=6;
    child third which=13
    then capture third; capture all; release; wait_for hold; child third

a tree in debt and past its grants:
    buy 40 days=1 first=yes; hold all minutes=3000; child third which=0 minutes=3000; claw_back which=0;
    child micro which=0 minutes=3000 x3; wait_for grant; child third which=0 minutes=3000 x3; capture
    third which=1; release which=1
    then capture all+; release; child rest; wait_for hold; restore; capture 0

a tree for several services:
    grant 7.25 of=tag:image days=1; grant 7.25; hold all covers=image; child rest covers=image which=0;
    release which=1; child rest+ which=0 x3; child rest which=0; capture all+ which=1; capture third
    which=0
    then child rest+; child rest covers=image; capture held+; release; hold all covers=image; charge
    first

limits of a tree:
    grant 150; limit project 40 day; limit member 3 day; limit quota 6 month; hold 7.25 p minutes=3000;
    child third p which=0 x3; child third m which=0 x2; child third pmk which=0 files=1; child 1 m
    which=0; capture held which=1; wait_for window; child third p which=0; child third m which=0; limit
    key 3 ever; capture third which=1; limit project 3 day; child rest p which=0
    then child third m files=6; capture held; capture third; release; limit project 40 ever; limit
    member used month; charge 1 p; wait_for window; wait_for hold

captured at their end:
    limit project 40 day; limit quota 6 month; grant 7.25 days=1; grant 40; hold 1
    at_expiry=capture_estimate minutes=30 x3; hold 1 p at_expiry=capture_reported minutes=30 files=1 x3;
    report third which=3 x2; report held+ which=4 x2; report held+ which=5 files=2 x2; hold 1
    at_expiry=capture_reported minutes=30 x3; hold 1 at_expiry=capture_estimate minutes=1440; wait_for
    hold; report third which=6; report third which=13
    then report third; report 0; report held+; capture third; release; wait_for hold; wait 40; owe 3

a tree that is captured at its end:
    grant 40; hold 7.25 at_expiry=capture_estimate; child third which=0 at_expiry=capture_reported
    minutes=30 x2; report held+ which=1; report held+ which=2; child third which=0
    at_expiry=capture_estimate minutes=30 x2; child rest which=0 at_expiry=capture_reported minutes=30;
    report held+ which=5; wait_for hold; wait_for hold
    then child rest at_expiry=capture_estimate; report held+; wait_for hold; capture third; release;
    wait 7

holds that end in missed days:
    plan free; grant 150; hold 7.25 at_expiry=capture_estimate minutes=3000; hold 3 minutes=5000; child
    third which=1 minutes=4000; hold 1 minutes=3000; wait 80
    then wait 80; charge 1; owe 150; plan none; plan max carry=yes; move_to Asia/Kathmandu
"""
