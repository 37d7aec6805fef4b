"""Experiment trackers that a finished run can be logged to: one file each, imported only when it is used."""
