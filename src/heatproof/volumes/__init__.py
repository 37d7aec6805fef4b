"""Volumes: sliding-window maps in 3-D, with spacing, orientation and affine kept, in the formats of radiology."""

from heatproof.volumes.run import VolumeMap, explain_volume

__all__ = ["VolumeMap", "explain_volume"]
