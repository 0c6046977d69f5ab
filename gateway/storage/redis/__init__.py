"""Redis, the serving cache and the shared counters. The home of redis-py."""
