"""What silicon takes: energy of an access, area of a part, price of a die, from published tables and stated ranges."""
