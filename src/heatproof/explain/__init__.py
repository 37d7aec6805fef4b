"""The pipeline: from inputs to an Explanation."""

from heatproof.explain.call import explain
from heatproof.explain.explainer import Explainer
from heatproof.explain.several import Explanations

__all__ = ["Explainer", "Explanations", "explain"]
