"""Who reads only the first screen of the reports on the two lesion networks knows which one to reject, and why."""

import re

import pytest
from tests.report.audit.example import lesion_document
from tests.report.audit.test_page import words

from heatproof.report.audit import html


@pytest.mark.slow
@pytest.mark.timeout(900)  # minutes on a busy machine
def test_the_first_screen_tells_which_of_two_equally_good_networks_to_reject(tmp_path):
    first = {}
    for name in ("lesions_shortcut", "lesions_clean"):
        told = lesion_document(name, tmp_path / name, survey=100, checks=())
        assert told.performance.whole.measures["accuracy"].estimate > 0.9
        text = html(told)
        first[name] = words(text)[: words(text).index("What became of the inputs")]
        assert ('class="exemplar"' in text) is (name == "lesions_shortcut"), "the ruler can be seen, outlined"
    bad, good = first["lesions_shortcut"], first["lesions_clean"]
    assert "Reject this model as it stands. It takes a shortcut: “region" in bad
    assert "evidence for malignant" in bad
    changed = re.search(
        r"adding that feature alone changes (\d+)% of decisions \(the same edit elsewhere: (\d+)%\)", bad
    )
    assert int(changed[1]) > 70 > 40 > int(changed[2])
    assert "Reject" not in good
    assert "Shortcut confirmed" not in good
