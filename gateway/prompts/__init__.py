"""Prompt versions, compiled: templates, variable contracts, and the merging of stored and requested parts. Pure."""
