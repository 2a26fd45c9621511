"""The base of every error that the training package raises on purpose.

TrainingError
 ├── AnnotationError            the photos or labels cannot be trained on; one line a problem
 ├── RecipeError                a recipe names an unknown key or a value that is not allowed
 ├── PretrainedWeightsError     the pretrained weights are missing, altered or do not fit
 ├── ExploreError               no photo, or more than one, has the name that was asked for
 ├── DivergedError              the loss is no longer a finite number
 ├── ParityError                the float32 TFLite model differs from the SavedModel
 ├── RenderError                a mouth cannot be rendered at this size
 └── RunError                   a step lacks what an earlier one should have left

Each is defined beside what raises it. Messages say what was wrong, which value, and what is allowed.
"""

from __future__ import annotations


class TrainingError(Exception):
    """What a person can put right; everything else is a fault of this program and keeps its traceback."""
