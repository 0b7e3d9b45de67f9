"""Written faults: rules of the ledger that were once broken, or that a draw would seldom break."""
