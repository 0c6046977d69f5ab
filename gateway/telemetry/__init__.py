"""Logs, metrics and traces: what operators see."""
