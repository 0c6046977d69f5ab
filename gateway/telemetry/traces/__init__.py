"""OpenTelemetry spans of sampled calls: made from the journal when a call has ended, and sent by a thread of their own."""
