"""Outgoing webhooks: endpoints, events and deliveries, after https://www.standardwebhooks.com/.

The package is a part of accounts because every app records events and can import it. (`billing.webhooks` are
the events that Stripe sends to us.) Facts write events (`events`, accounts/webhook_events.sql) in their own
transaction; the sender (`sender`) turns them into deliveries and makes the requests, in a process of its
own.
"""
