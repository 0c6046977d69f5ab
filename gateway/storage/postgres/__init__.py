"""Postgres, the truth: the registry that is written, the catalog that is served, migrations. The home of asyncpg."""
