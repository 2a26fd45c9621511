"""From a checkpoint to an installed bundle."""
