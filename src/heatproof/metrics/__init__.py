"""Pure functions on maps and scores: batched, no model; one file a question."""
