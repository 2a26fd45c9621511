"""The detector: bundles, runtimes, and the engine that queues photos for them."""
