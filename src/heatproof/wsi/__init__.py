"""Whole slides: a map over gigapixels, seamless, in absolute units, in bounded memory."""

from heatproof.wsi.result import SlideMap, Tile
from heatproof.wsi.run import Prepared, explain_slide, prepare

__all__ = ["Prepared", "SlideMap", "Tile", "explain_slide", "prepare"]
