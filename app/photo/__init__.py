"""Photos: decoding within limits, resizing, zip archives of them."""
