"""Libraries that open whole slides: one file each, found by listing this folder, tried in the order of `PRIORITY`.

A reader is a file with a function `open_slide(path) -> Reader` that raises `NotMine` for a file that it cannot open,
and literals `NAME` and `TIER`. `ALIASES` holds the endings that it reads better than the others.
"""
