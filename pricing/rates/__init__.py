"""Rate cards and the pricing of a use. Quotes and validation are pure functions."""
