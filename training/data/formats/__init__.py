"""Annotation formats, a module each: what they say of a photo, before anything is believed.

A reader takes the text of one label file and returns `PhotoLabels` by the key of the photo: its name without suffix for
formats with a file for each photo, its whole name for formats with one file for all. What is not as the format wants is
raised as `FormatError`, a line a problem.
"""

from training.data.formats.labels import FormatError, LabelledBox, PhotoLabels
from training.data.formats.registry import FORMATS, Format, LabelFile, find_label_files

__all__ = ["FORMATS", "Format", "FormatError", "LabelFile", "LabelledBox", "PhotoLabels", "find_label_files"]
