"""What the photos and labels look like, before anything is trained: one HTML page, its figures, and its numbers."""
