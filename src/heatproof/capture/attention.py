"""What every attention layer of a network did, and how the scores depend on it."""

from typing import TYPE_CHECKING

from heatproof.capture.batch import Batch
from heatproof.errors import MethodError
from heatproof.types import Attention, Target

if TYPE_CHECKING:
    from heatproof.capture.engine import Engine


def attention_layers(engine: "Engine", batch: Batch, targets: tuple[tuple[Target, ...], ...]) -> tuple[Attention, ...]:
    """Return the weights of every attention layer and their gradients, first to last.

    Raises:
        MethodError: the network computes no attention.
    """
    raise MethodError("This network computes no attention weights; use a method of the Grad-CAM family.")
