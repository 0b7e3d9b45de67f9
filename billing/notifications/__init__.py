"""E-mails to account owners, and the alerts and warnings that cause them."""
