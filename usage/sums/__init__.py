"""Sums of charges by day and dimension: what `reading` adds to charges that are not in them yet.

Invariant: sums and the charges after them are the sums of all charges, at every moment; a charge does no work
for it (docs/decisions/0073-sums-of-usage.md).
"""
