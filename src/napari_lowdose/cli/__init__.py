"""Command line interface, ``napari-lowdose``."""


def main() -> None:
    """Run the command line interface."""
    from napari_lowdose.cli.app import main  # only now: importing the package costs nothing

    main()
