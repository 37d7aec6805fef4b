"""Whole slides with a known answer: tissue-like pyramids with planted stain, and the awkward files of real archives."""

from heatproof.synthetic.slides.plant import Planted, write_slide

__all__ = ["Planted", "write_slide"]
