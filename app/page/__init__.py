"""The page for browsers: its source, and the built files that the server sends. It knows no HTTP."""
