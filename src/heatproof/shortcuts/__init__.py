"""Shortcuts, which a model leans on and the task does not license: found over a data set, proved by experiment."""

from heatproof.shortcuts._candidate import Candidate, Change, Effect, Finding, ShortcutVerdict
from heatproof.shortcuts._survey import Survey, open_survey

__all__ = ["Candidate", "Change", "Effect", "Finding", "ShortcutVerdict", "Survey", "open_survey"]
