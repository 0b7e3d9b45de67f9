"""Charges as pages show them: the list, one charge in detail, and reports of incorrect charges."""
