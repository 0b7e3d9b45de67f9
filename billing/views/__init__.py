"""Pages of the portal on which credits are bought and the subscription is managed."""
