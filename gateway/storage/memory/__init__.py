"""Memory twins of the storage ports, held to the same contract suites as the real ones."""
