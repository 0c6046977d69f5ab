"""Where things are kept: Postgres (the truth), Redis (the serving cache), memory twins, and the SQL they speak."""
