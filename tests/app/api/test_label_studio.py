"""Label Studio's projects and predictions."""

import pytest

from app.api.label_studio import Project
from app.detector.bundle import Bundle
from app.errors import InvalidParameter
from app.screening import ClassSelection

CONFIG = """<View><!-- teeth -->
  <Image name="image" value="$photo"/>
  <Choices name="view" toName="image"><Choice value="front"/></Choices>
  <RectangleLabels name="label" toName="image"><Label value="Caries"/><Label value="filling"/>{more}</RectangleLabels>
</View>"""


def test_a_project_names_its_photo_and_its_labels(shipped_bundle: Bundle) -> None:
    project = Project.from_config(CONFIG.format(more=""), shipped_bundle)
    assert project == Project("label", "image", "photo", {2: "Caries"})
    assert project.classes(shipped_bundle) is ClassSelection.CARIES
    both = Project.from_config(CONFIG.format(more='<Label value="normal"/>'), shipped_bundle)
    assert both.labels == {1: "normal", 2: "Caries"}
    assert both.classes(shipped_bundle) is ClassSelection.ALL


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("", "is not XML"),
        ("<View>", "is not XML"),
        (
            '<View><Image name="image" value="$image"/></View>',
            "no <RectangleLabels> of an <Image> with a <Label> 'caries'",
        ),
        (CONFIG.format(more="").replace("Caries", "other"), "with a <Label> 'caries'"),
        (CONFIG.format(more="").replace("$photo", ""), "with a <Label> 'caries'"),
        (CONFIG.format(more="").replace("Image", "Text"), "with a <Label> 'caries'"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + CONFIG.format(more="&b;"), "document type"),
    ],
)
def test_projects_without_such_labels_are_refused(shipped_bundle: Bundle, config: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        Project.from_config(config, shipped_bundle)
