"""Annotation formats, one module each.

A reader takes the content of one label file and returns unchecked `PhotoLabels` by key: the photo's name without suffix
for formats with a file per photo, its full name for formats with one file for all photos.
"""

from training.data.formats.labels import FormatError, LabelledBox, PhotoLabels
from training.data.formats.registry import FORMATS, Format, LabelFile, find_label_files

__all__ = ["FORMATS", "Format", "FormatError", "LabelFile", "LabelledBox", "PhotoLabels", "find_label_files"]
