"""Purchases of packs and plans: each is committed, at the server's price, before Stripe is called."""
