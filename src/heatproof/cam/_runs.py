"""What the methods that run the network again share."""

from heatproof.errors import MethodError
from heatproof.types import Capture, Source


def source_of(capture: Capture, name: str) -> Source:
    """Return what runs the captured network again, for the method called `name`.

    Raises:
        MethodError: the capture was made by hand.
    """
    if capture.source is None:
        raise MethodError(
            f"{name} runs the network again, and this capture of layer {capture.layer!r} was made by hand, without a "
            "source; explain the network itself, or use gradcam."
        )
    return capture.source
