"""Applications: the tenants."""
