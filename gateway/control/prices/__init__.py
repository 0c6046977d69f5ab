"""What calls cost: the table, its check, and new prices for stored calls."""
