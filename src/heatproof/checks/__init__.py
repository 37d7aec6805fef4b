"""Experiments on maps and models."""
