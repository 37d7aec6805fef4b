"""CAM methods are found by name and by the peers' spellings, without importing any."""

import subprocess
import sys

import pytest

from heatproof.cam import method, methods
from heatproof.errors import MethodError


def test_methods_of_the_folder():
    assert {"cam", "gradcam", "gradcam_plusplus", "hirescam", "layercam", "xgradcam"} <= set(methods())
    assert list(methods()) == sorted(methods())


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("gradcam", "gradcam"),
        ("GradCAM", "gradcam"),
        ("Grad-CAM", "gradcam"),
        ("grad_cam", "gradcam"),
        ("LayerGradCam", "gradcam"),
        ("GradCAMPlusPlus", "gradcam_plusplus"),
        ("grad-cam++", "gradcam_plusplus"),
        ("GradCAMpp", "gradcam_plusplus"),
        ("HiResCAM", "hirescam"),
        ("XGradCAM", "xgradcam"),
        ("LayerCAM", "layercam"),
        ("CAM", "cam"),
        ("EigenCAM", "eigencam"),
        ("Eigen-CAM", "eigencam"),
        ("EigenGradCAM", "eigengradcam"),
        ("AblationCAM", "ablationcam"),
        ("ScoreCAM", "scorecam"),
        ("RandomCAM", "random_cam"),
        ("KPCA_CAM", "kpcacam"),
        ("gradient attention rollout", "attention"),
        ("attention-rollout", "attention_rollout"),
        ("LeGrad", "legrad"),
        ("GradCAMElementWise", "gradcam_elementwise"),
    ],
)
def test_spellings_of_the_peers(spelling, name):
    assert method(spelling).name == name


def test_unknown_method_names_the_nearest():
    with pytest.raises(MethodError, match="no CAM method 'gradcamm'; did you mean 'gradcam'"):
        method("gradcamm")


def test_unlike_anything_lists_all():
    with pytest.raises(
        MethodError, match=r"no CAM method '§'; choose one of ablationcam, attention, .*gradcam, .*gradcam_plusplus"
    ):
        method("§")


def test_returned_dictionary_is_the_callers_own():
    methods().clear()
    assert "gradcam" in methods()


def test_listing_imports_no_torch():
    code = "import sys; from heatproof.cam import methods; print(methods()['gradcam'].title, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Grad-CAM", "False"]
