"""The pipeline from inputs to explanations."""

from heatproof.explain.explainer import Explainer, explain

__all__ = ["Explainer", "explain"]
