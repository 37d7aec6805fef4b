"""Where models come from: one file a prefix ("timm:" is timm.py), each with one function `load(rest, options)`."""
