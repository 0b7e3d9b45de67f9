"""What an installation sells: the catalogue, rates, estimates and the public price pages."""
