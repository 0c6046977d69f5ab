"""The upstream HTTP client: the only place with upstream sockets."""
