"""What may go in and what may come out, streams included. Pure."""
