"""The peers' constructors, calls and return types over this engine: a user changes one import line.

`heatproof.compat.pytorch_grad_cam` stands in for pytorch-grad-cam, `heatproof.compat.torchcam` for torchcam. Written
from what these packages document; neither is imported. docs/coming-from.md lists what differs on purpose.
"""
