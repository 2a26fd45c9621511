"""The detection model: configuration, pretrained weights, training."""
