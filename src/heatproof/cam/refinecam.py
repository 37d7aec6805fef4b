"""RefineCAM: the product of the maps of several layers, on the finest of their grids.

Formula (Domeniconi et al., 2026, arXiv:2605.14641): with M_l the map of layer l by another method, relu(M_l) over its
maximum, and U resampling to the finest grid,

    L = max relu(M_last) * prod_l U( relu(M_l) / max relu(M_l) )

so that a place counts where every layer finds evidence, and the fine grid of an early layer sharpens the map of the
last. The factor in front, which the paper leaves out, is one number per map: it gives the map a unit and leaves the map
of a weak target weak. M is Grad-CAM++ by default, as in the packages grad-cam and torchcam. (grad-cam 1.5.7 computes
the maximum and the ReLU but does not use them; its maps are scaled to 0..1 earlier on.)

The layers are the last ones on each grid up to the target layer's that is at least as fine, `stages` of them, counted
from the target layer. **The map lies on the finest of their grids, not on the target layer's.** It holds no evidence
against the target: a map that is negative everywhere at one layer makes a blank product.

Assumes that early layers know enough of the target to say where it is not. Cost: one capture of all layers.
"""

from operator import ge

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.cam import method
from heatproof.cam._runs import source_of
from heatproof.errors import MethodError
from heatproof.types import Capture
from heatproof.types.explanation import LINEAR

NAME = "RefineCAM"
ALIASES = ("Refine-CAM",)
TIER = "experimental"
SCALES_WITH_SCORE = False  # Grad-CAM++ does not
SIGNED = False  # no evidence against: blank where there is none for the target
GRID = "finest"  # of the layers that take part, instead of the target layer's
BIBTEX = """
@article{domeniconi2026refinecam,
  title   = {How to Evaluate and Refine your CAM},
  author  = {Domeniconi, Luca and Stramiglio, Alessandra and Lombardi, Michele and Salti, Samuele},
  journal = {arXiv preprint arXiv:2605.14641},
  year    = {2026}
}
"""


def cam(capture: Capture, *, stages: int = 3, base: str = "gradcam_plusplus") -> Float[Tensor, "n t *fine"]:
    """Return the product of the layers' maps, none negative, on the finest of their grids, in the units of `base`.

    Args:
        capture: of which the source's stages are used.
        stages: most layers that take part, the target layer included; at least 2.
        base: the CAM method that makes each layer's map.

    Raises:
        MethodError: the capture was made by hand; `stages` is less than 2; all layers up to the target layer lie on one
            grid, so that there is nothing to refine with; there is no method `base`, or it cannot work here.
    """
    if stages < 2:
        raise MethodError(f"stages is {stages}; {NAME} multiplies the maps of at least 2 layers.")
    grid = capture.activations.shape[2:]
    # a coarser grid on the way (squeezed, or attended to) cannot sharpen anything
    found = [s for s in source_of(capture, NAME).stages() if all(map(ge, s.activations.shape[2:], grid))]
    captures = sorted(found, key=lambda s: -s.activations.shape[2:].numel())[-stages:]
    if len(captures) < 2:
        raise MethodError(
            f"{NAME} sharpens a map by layers on finer grids, and up to layer {capture.layer!r} there is none; choose "
            f"a later layer, or use {base} alone."
        )
    make = method(base).function
    # the target layer's map is made of the capture itself, which is what is explained
    maps = [make(stage).clamp(min=0) for stage in (*captures[:-1], capture)]
    finest = maps[0].shape[2:]
    product = maps[-1].flatten(2).amax(-1)[(..., *(None,) * len(finest))]
    for one in maps:
        largest = one.flatten(2).amax(-1)[(..., *(None,) * len(finest))]
        share = one / largest.where(largest > 0, 1)
        product = product * F.interpolate(share, size=finest, mode=LINEAR[len(finest)], align_corners=False)
    return product
