"""What calls would have cost otherwise: by other rates, on another plan, or on another model."""
