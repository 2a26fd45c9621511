"""The base of every error that the training package raises on purpose; each is defined in the module that raises it.

TrainingError
 ├── ArchiveError               an archive is damaged, hostile or too large
 ├── AnnotationError            the photos or labels cannot be trained on; one line per problem
 ├── RecipeError                a recipe names an unknown key or a value that is not allowed
 ├── PretrainedWeightsError     the pretrained weights are missing, altered or do not fit
 ├── DeviceError                the batch cannot be shared equally between the devices
 ├── CheckpointError            there is no such checkpoint, or it belongs to another detector
 ├── DivergedError              the loss is no longer finite
 ├── RunError                   a step lacks the result of an earlier one
 ├── DetectorError              the path has no detector that can be run
 ├── CalibrationError           there are no detections to calibrate scores on
 ├── CrossValidationError       a fold is not trained, or belongs to another recipe
 ├── ComparisonError            two bundles cannot be compared on these photos
 ├── ReviewError                the table of photo kinds cannot be used
 ├── ConversionError            the architecture cannot be converted to TFLite
 ├── ParityError                the float32 TFLite model differs from the SavedModel
 ├── ReleaseError               an archive is damaged, or the store has another bundle of that version
 ├── SweepError                 there is no such trial, or another sweep uses the folder
 ├── ExploreError               no photo, or more than one, has the requested name
 └── RenderError                a mouth cannot be rendered as requested
"""


class TrainingError(Exception):
    """An error that the caller can fix; any other exception is a bug and keeps its traceback."""
