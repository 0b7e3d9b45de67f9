"""Conditions of the pages of one purchase: the purchase, its return page, its invoice."""

from django.utils import timezone

from tests.pages.case import LATER, Case, both, dispute, policies, purchase, refund, role

PURCHASE, STATE = "/billing/purchases/{purchase}/", "/billing/purchases/{purchase}/state/"
INVOICE = f"{PURCHASE}invoice/"
PAID, DISPUTED = ">Paid</span>", ">Disputed</span>"
ARRIVAL = "Refunds usually arrive within 3 to 5 business days."

CASES = [
    # a purchase
    Case(
        "created",
        PURCHASE,
        purchase(status="created"),
        ("Continue to payment", "Cancel purchase", "Not paid yet"),
        ("Credits left", "Request refund", "You can get $5.00 back"),
    ),
    Case(
        "created, for a member",
        PURCHASE,
        both(purchase(status="created"), role("member")),
        ("Not paid yet",),
        absent=("Continue to payment", "Cancel purchase"),
    ),
    Case(
        "failed",
        PURCHASE,
        purchase(status="failed", error="stolen card"),
        ("No credits were added.", "Reason: stolen card", ">Failed<", 'href="/billing/buy/">Buy credits'),
        ("Paid</span>",),
    ),
    Case(
        "failed, no reason",
        PURCHASE,
        purchase(status="failed"),
        ("No credits were added.",),
        absent=("Reason:",),
    ),
    Case(
        "failed plan",
        PURCHASE,
        purchase(status="failed", kind="plan"),
        ("The plan did not start.",),
        absent=("No credits were added.",),
    ),
    Case(
        "quarantined", PURCHASE, purchase(status="quarantined"), ("Our team is reviewing it.", "Under review")
    ),
    Case(
        "pending",
        PURCHASE,
        purchase(status="pending"),
        ("The payment is pending. We add", ">Pending<"),
        absent=("This usually takes", "View payment instructions"),
    ),
    Case(
        "pending debit",
        PURCHASE,
        purchase(status="pending", payment_method="sepa_debit"),
        ("This usually takes 5 business days.",),
    ),
    Case(
        "pending transfer",
        PURCHASE,
        purchase(
            status="pending", payment_method="customer_balance", instructions_url="https://pay.example/"
        ),
        ("This usually takes 3 business days.", 'href="https://pay.example/"'),
    ),
    Case(
        "pending plan",
        PURCHASE,
        purchase(status="pending", kind="plan"),
        ("The plan starts when it arrives",),
        absent=("We add the credits",),
    ),
    Case("cancelled", PURCHASE, purchase(status="cancelled"), (">Cancelled<",)),
    Case("invoice", PURCHASE, purchase(invoice_number="R-81"), ("View invoice", "Download PDF", "R-81")),
    Case("receipt", PURCHASE, purchase(receipt_url="https://r.example/"), ('href="https://r.example/"',)),
    Case("sale", PURCHASE, purchase(list_amount=700), ("Regular price", "$7.00"), absent=("Code ",)),
    Case(
        "discount",
        PURCHASE,
        purchase(list_amount=700, promotion_code="SPRING"),
        ("Regular price", "Code SPRING"),
    ),
    Case("tax", PURCHASE, purchase(tax=80, country="DE"), ("$0.80 · DE",), absent=("Added at checkout",)),
    Case("tax of no country", PURCHASE, purchase(tax=80), ("<dd>$0.80</dd>",)),
    Case(
        "tax to come", PURCHASE, purchase(status="created", tax_behavior="exclusive"), ("Added at checkout",)
    ),
    Case(
        "tax included",
        PURCHASE,
        purchase(status="created", tax_behavior="inclusive"),
        absent=("Added at checkout",),
    ),
    Case("tax of none", PURCHASE, purchase(tax_behavior="exclusive"), absent=("Added at checkout",)),
    Case("credit balance", PURCHASE, purchase(balance_used=100), ("Paid from your credit balance", "$1.00")),
    Case(
        "credit balance in the list",
        "/billing/purchases/",
        purchase(balance_used=200),
        ("$7.00",),
        ("$5.00",),
    ),
    Case("period", PURCHASE, purchase(period_start=timezone.now(), period_end=LATER), ("<dt>Period</dt>",)),
    Case("method", PURCHASE, purchase(payment_method="card"), ("· Card",)),
    Case("other method", PURCHASE, purchase(payment_method="klarna"), ("· klarna",)),
    Case(
        "refunded",
        PURCHASE,
        purchase(refunded=500),
        (">Refunded<", "This purchase has been refunded."),
        ("You can get $5.00 back",),
    ),
    Case(
        "partly refunded",
        PURCHASE,
        purchase(refunded=200),
        ("$2.00 refunded", "You can get $3.00 back"),
        absent=(">Refunded<",),
    ),
    Case(
        "no refunds here",
        PURCHASE,
        policies(refund_window_days=None),
        ("Purchases cannot be refunded here.",),
        ("You can get $5.00 back",),
    ),
    Case("for a member", PURCHASE, role("member"), hidden=("You can get $5.00 back",)),
    Case(
        "a plan",
        PURCHASE,
        purchase(kind="plan"),
        hidden=("You can get $5.00 back",),
        absent=("Only packs can",),
    ),
    Case(
        "refund requested",
        PURCHASE,
        refund("requested"),
        ("Requested", "$2.50", "Withdraw refund request"),
        ("You can get $5.00 back",),
        (ARRIVAL,),
    ),
    Case(
        "refund requested, for a member",
        PURCHASE,
        both(refund("requested"), role("member")),
        ("$2.50",),
        absent=("Withdraw refund request",),
    ),
    Case(
        "refund refused",
        PURCHASE,
        refund("refused", decision="too late"),
        ("· too late", "$2.50"),
        absent=("Withdraw refund request", ARRIVAL),
    ),
    *(
        Case(f"refund {status}", PURCHASE, refund(status), (ARRIVAL,), absent=("Withdraw refund request",))
        for status in ("approved", "pending", "done")
    ),
    Case(
        "refund with a reference",
        PURCHASE,
        refund("done", reference="R1", reference_status="available"),
        ("by the reference R1.",),
        absent=("within 7 business days",),
    ),
    Case(
        "refund without a reference yet",
        PURCHASE,
        refund("done", reference_status="pending"),
        ("appears here within 7 business days",),
    ),
    Case(
        "surplus plan",
        PURCHASE,
        both(purchase(kind="plan"), refund("done", decided_by="automatic")),
        ("This subscription was cancelled and its payment is refunded.",),
    ),
    Case(
        "surplus pack",
        PURCHASE,
        refund("done", decided_by="automatic"),
        absent=("This subscription was cancelled",),
    ),
    Case(
        "disputed",
        PURCHASE,
        dispute("open", withdrawn=False),
        ("The payment of $5.00 was disputed.", DISPUTED),
        (PAID,),
        absent=("The credits of this payment",),
    ),
    Case(
        "disputed and withdrawn",
        PURCHASE,
        dispute("open", withdrawn=True),
        ("are withdrawn until the bank decides", DISPUTED),
        (PAID,),
    ),
    Case(
        "dispute lost",
        PURCHASE,
        dispute("lost", withdrawn=True),
        ("The credits of this payment were withdrawn.", ">Dispute lost<"),
        (PAID,),
        absent=(DISPUTED,),
    ),
    Case(
        "inquiry of the bank",
        PURCHASE,
        dispute("inquiry", withdrawn=False),
        (">Inquiry of the bank<",),
        absent=(DISPUTED,),
    ),
    *(
        Case(f"{page} with a dispute", page, dispute("open", withdrawn=True), (DISPUTED,), (PAID,))
        for page in ("/billing/", "/billing/purchases/")
    ),
    *(
        Case(
            f"dispute {status}",
            "/billing/purchases/",
            dispute(status, withdrawn=False),
            absent=(DISPUTED, ">Dispute lost<", ">Inquiry of the bank<"),
        )
        for status in ("won", "closed", "prevented")
    ),
    Case(
        "disputed and refunded in part",
        "/billing/purchases/",
        both(dispute("open", withdrawn=True), purchase(refunded=200)),
        (DISPUTED, "$2.00 refunded"),
        (PAID,),
    ),
    Case(
        "disputed and refunded",
        "/billing/purchases/",
        both(dispute("lost", withdrawn=True), purchase(refunded=500)),
        (">Refunded<", ">Dispute lost<"),
        (PAID,),
    ),
    # the return page
    Case(
        "plan",
        STATE,
        purchase(kind="plan"),
        ("Welcome to Small",),
        ("500 credits added", "We received $5.00"),
    ),
    Case(
        "plan refunded",
        STATE,
        purchase(kind="plan", refunded=500),
        ("Small was cancelled and refunded", "refunding $5.00"),
        absent=("Welcome to",),
    ),
    Case("plan refunded in part", STATE, purchase(kind="plan", refunded=499), ("Welcome to Small",)),
    Case("pack refunded", STATE, purchase(refunded=500), absent=("was cancelled and refunded",)),
    Case(
        "pending",
        STATE,
        purchase(status="pending", payment_method="sepa_debit"),
        (
            "Payment pending",
            "Your payment of $5.00 is not complete yet",
            "balance-changed",
            "usually takes 5 business days",
        ),
        ("credits added",),
    ),
    Case(
        "pending plan",
        STATE,
        purchase(status="pending", kind="plan"),
        ("Small starts when it arrives", "balance-changed"),
    ),
    Case(
        "created",
        STATE,
        purchase(status="created"),
        ("Waiting for your payment", "We add the credits", "balance-changed"),
    ),
    Case(
        "created plan",
        STATE,
        purchase(status="created", kind="plan"),
        ("The plan starts as soon as", "balance-changed"),
    ),
    Case(
        "quarantined",
        STATE,
        purchase(status="quarantined"),
        ("We are reviewing your payment",),
        absent=("balance-changed",),
    ),
    Case(
        "failed",
        STATE,
        purchase(status="failed", error="stolen"),
        ("The payment failed", "stolen No credits were added."),
        absent=("balance-changed",),
    ),
    Case(
        "failed plan",
        STATE,
        purchase(status="failed", kind="plan"),
        ("The plan did not start.", "Compare plans"),
    ),
    Case(
        "cancelled",
        STATE,
        purchase(status="cancelled"),
        ("Purchase cancelled", "Nothing was charged.", "Buy credits"),
    ),
    Case(
        "cancelled plan",
        STATE,
        purchase(status="cancelled", kind="plan"),
        ("Nothing was charged.", "Compare plans"),
    ),
    # the invoice (the world's purchase gets its number in the test)
    Case(
        "buyer",
        INVOICE,
        purchase(
            billed_to={"name": "Ada", "address": "1 Road\nTown", "email": "a@b.example", "tax_id": "DE1"}
        ),
        ("Ada", "1 Road<br>Town", "a@b.example", "Tax ID: DE1"),
    ),
    Case("sale", INVOICE, purchase(list_amount=700), ("Price after discount<", "$7.00")),
    Case(
        "code",
        INVOICE,
        purchase(list_amount=700, promotion_code="SPRING"),
        ("Price after discount (SPRING)",),
    ),
    Case(
        "included tax",
        INVOICE,
        purchase(tax=80, tax_behavior="inclusive"),
        ("Tax included in the total", "$0.80"),
    ),
    Case(
        "added tax",
        INVOICE,
        purchase(tax=80, tax_behavior="exclusive", amount=580),
        ("<td>Tax</td>", "$0.80", "$5.80"),
        absent=("Tax included",),
    ),
    Case("refunded", INVOICE, purchase(refunded=120), ("<td>Refunded</td>", "$1.20")),
    Case(
        "credit balance",
        INVOICE,
        purchase(balance_used=100, amount=400),
        ("Paid from your credit balance", "$4.00"),
    ),
    Case("period", INVOICE, purchase(period_start=timezone.now(), period_end=LATER), (f"{LATER:%b %Y}",)),
]
