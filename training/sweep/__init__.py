"""Many trainings over the same photos: the trials of the study, or a search over its parameters."""
