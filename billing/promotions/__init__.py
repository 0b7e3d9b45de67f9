"""Promotion codes and invitations: every limit is counted under a row lock, every reward is given once."""
