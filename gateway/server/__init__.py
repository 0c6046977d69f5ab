"""The process: supervisor, workers on SO_REUSEPORT, the HTTP protocol, signals, graceful drain."""
