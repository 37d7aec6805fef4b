"""The networks whose weights ship with heatproof."""
