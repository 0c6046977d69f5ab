"""Splits behind aliases: how weights become buckets, who gets which variant, and what a variant serves."""
