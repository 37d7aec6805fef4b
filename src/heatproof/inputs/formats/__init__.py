"""Input formats, one file each: a function `read(path, *, name, ...) -> Input` and its suffixes as `ALIASES`."""
