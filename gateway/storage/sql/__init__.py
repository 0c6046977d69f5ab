"""Named SQL statements, one file per subject; ``-- name:`` starts each."""
