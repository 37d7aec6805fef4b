"""`python -m bench` is what `make bench` runs."""

from bench.gradcam import main

if __name__ == "__main__":
    raise SystemExit(main())
