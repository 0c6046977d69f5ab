"""Which targets a call may go to, in which order. Pure."""
