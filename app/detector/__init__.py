"""The detector: bundles, what runs them, and the queue before it."""
