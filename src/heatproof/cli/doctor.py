"""Tell what is installed and what this machine can do."""


def command() -> None:
    """Tell what is installed and what this machine can do."""
