"""A data set's run: entries -> plan -> shards of maps -> results -> report; resumable at any moment."""
