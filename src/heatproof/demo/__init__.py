"""The demonstration: a real photomicrograph with a known answer, explained end to end."""
