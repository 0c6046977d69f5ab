"""Asking others about a call: who carries the questions of guards, and what becomes of the answers."""
