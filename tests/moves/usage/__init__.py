"""Moves of usage: charges, holds and reversals."""
