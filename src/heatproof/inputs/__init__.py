"""Bytes, arrays and tensors -> Input; Input -> what the model is given, and the way back."""

from heatproof.inputs.arrays import from_array, from_tensor
from heatproof.inputs.pictures import from_picture
from heatproof.inputs.prepare import Preprocess, adopt, restore
from heatproof.inputs.sources import expand, read, read_batch

__all__ = [
    "Preprocess",
    "adopt",
    "expand",
    "from_array",
    "from_picture",
    "from_tensor",
    "read",
    "read_batch",
    "restore",
]
