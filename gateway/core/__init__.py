"""The words: what a request, a prompt, an event, an error and a ledger row are. Standard library and msgspec only."""
