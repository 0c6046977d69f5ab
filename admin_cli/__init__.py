"""The ``promptgate`` command: prompts, publishing, keys, runs and diagnosis, over the HTTP API like any other client."""
