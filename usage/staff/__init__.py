"""Admin classes: reports of incorrect charges, and price simulations of draft rate cards."""
