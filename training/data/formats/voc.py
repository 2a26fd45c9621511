"""Pascal VOC: an XML file per photo. Python's parser fetches no external entity and limits expansion."""

from xml.etree import ElementTree

from training.data.formats.labels import FormatError, LabelledBox, PhotoLabels, stated_size


def read(name: str, text: str) -> dict[str, PhotoLabels]:
    """Boxes are edges in pixels."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise FormatError(f"not XML: {error}") from error
    if root.tag != "annotation":
        raise FormatError(f"not a Pascal VOC file: its root is {root.tag!r}, expected is annotation")
    boxes: list[LabelledBox] = []
    problems: list[str] = []
    for number, item in enumerate(root.iter("object"), start=1):
        where = f"object {number}"
        try:
            xmin, ymin, xmax, ymax = (
                float(item.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
            label = item.findtext("name", "")
            if not label:
                raise ValueError
        except ValueError:
            problems.append(f"{where}: needs a name and a bndbox with xmin, ymin, xmax and ymax")
            continue
        boxes.append(LabelledBox(where, xmin, ymin, xmax - xmin, ymax - ymin, label))
    size = stated_size(root.findtext("size/width"), root.findtext("size/height"))
    return {name: PhotoLabels(boxes, size, problems)}
