"""How fast, how steady, how honest: the side-by-side benchmark, the fake upstreams and the locust scenarios."""
