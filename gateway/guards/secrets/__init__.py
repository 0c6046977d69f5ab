"""Credentials in texts: a table of their forms, and the judgement of what is assigned to a name like ``api_key``. Pure."""
