"""The guard ``sql``: one statement of a kind that is allowed, on tables that are allowed."""
