"""An account's subscription: its plan and terms, changes of plan, and synchronization with Stripe."""
