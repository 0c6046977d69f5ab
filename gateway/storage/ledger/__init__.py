"""The ledger of one worker: a crash-safe spool on disk, and the shipper that brings its rows to the store."""
