"""From annotated tooth photos to a detector bundle, on the TensorFlow Object Detection API."""
