"""Kinds of target: what `target=` can be beside a class; one file a kind, each a frozen, picklable callable.

    from heatproof import targets
    hp.explain(net, x, target=targets.Contrast("tabby", "tiger cat"))

All of them can be given for all inputs, in a list (one per input), or in a list of lists (several per input). Names are
those of the model's labels; docs/targets.md has an example of each.
"""

from heatproof.targets.against import Against
from heatproof.targets.box import Box
from heatproof.targets.boxes import Boxes
from heatproof.targets.classes import Class
from heatproof.targets.contrast import Contrast
from heatproof.targets.field import Field
from heatproof.targets.regression import Regression
from heatproof.targets.segmentation import Segmentation
from heatproof.targets.similarity import Similarity

__all__ = ["Against", "Box", "Boxes", "Class", "Contrast", "Field", "Regression", "Segmentation", "Similarity"]
