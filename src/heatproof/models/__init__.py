"""Networks with what belongs to them: loading, viewing, layers, targets."""

from heatproof.models.load import load
from heatproof.models.model import Model, as_model

__all__ = ["Model", "as_model", "load"]
