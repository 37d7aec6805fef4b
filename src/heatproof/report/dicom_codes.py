"""What kind of map a method makes, in the words of the DICOM standard (part 16, content mapping resource DCM)."""

from typing import Any

from heatproof.errors import MissingExtraError

_KINDS = {
    "GradientWeightedClassActivation": (
        "gradcam",
        "gradcam_plusplus",
        "gradcam_elementwise",
        "hirescam",
        "layercam",
        "xgradcam",
        "smoothgradcam_plusplus",
        "shapleycam",
        "eigengradcam",
        "finercam",
    ),
    "Saliency": (
        "gradient",
        "input_x_gradient",
        "integrated_gradients",
        "smoothgrad",
        "guided_backprop",
        "guided_gradcam",
        "deconvnet",
        "occlusion",
        "rise",
        "fullgrad",
    ),
}


def quantity(method: str) -> Any:
    """Return the code of the quantity that a method's map holds, from pydicom's own dictionary.

    Grad-CAM and its kin: (130403, DCM, "Gradient-weighted class activation"). Maps over the input: (130404, DCM,
    "Saliency"). Every other class activation map: (130402, DCM, "Class activation").

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    try:
        from pydicom.sr.codedict import codes
    except ImportError as error:
        raise MissingExtraError("pydicom", "medical") from error
    kind = next((kind for kind, methods in _KINDS.items() if method in methods), "ClassActivation")
    return getattr(codes.DCM, kind)
