"""Addresses in texts: read as a browser reads them, judged by host; never fetched. Pure."""
