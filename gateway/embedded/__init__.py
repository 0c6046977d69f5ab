"""Postgres and Redis from their wheels, for a laptop and for tests; and the program behind ``make up``."""
