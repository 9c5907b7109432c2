"""The form of a batch: which images, by what, and where the results go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QToolButton, QWidget

from napari_lowdose.widgets.fields import ParameterForm, choice

if TYPE_CHECKING:
    from napari_lowdose.batch import StoredType

By = Literal["reucid", "trained", "file"]
NETWORKS = "Network (*.safetensors)"


class PathField(QWidget):
    """A path that is typed, or chosen with the button.

    Parameters
    ----------
    kind : {"folder", "network"}
    """

    def __init__(self, kind: Literal["folder", "network"]) -> None:
        super().__init__()
        self._kind = kind
        self.text = QLineEdit()
        self.text.setPlaceholderText("choose …")
        self.text.textChanged.connect(self.text.setToolTip)  # long paths are cut off
        self.button = QToolButton()
        self.button.setText("…")
        self.button.clicked.connect(self._ask)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.button)

    @property
    def value(self) -> str:
        """The path as text, which may be empty."""
        return str(self.text.text()).strip()

    @value.setter
    def value(self, path: str) -> None:
        self.text.setText(path)

    @property
    def path(self) -> Path | None:
        """The path; None if it is empty."""
        return Path(self.value).expanduser() if self.value else None

    def _ask(self) -> None:
        now = self.value
        if self._kind == "folder":
            found = QFileDialog.getExistingDirectory(self, "Choose a folder", now)
        else:
            found = QFileDialog.getOpenFileName(self, "Choose a network", now, NETWORKS)[0]
        if found:
            self.value = str(found)


class BatchForm(ParameterForm):
    """Images, engine, and results of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.images = choice({"selected layers": "layers", "files in a folder": "folder"})
        self.folder = PathField("folder")
        self.by = choice(
            {
                "REUCID": "reucid",
                "trained network": "trained",
                "saved network": "file",
            }
        )
        self.network = PathField("network")
        self.results = choice({"beside the images": False, "in a folder": True})
        self.out = PathField("folder")
        self.stored = choice({"float32": "float32", "integers of the image": "input"})
        self.existing = choice({"skip if finished": False, "replace": True})
        self.add("images", self.images, "The images to denoise.")
        self.add("", self.folder, "The folder of the images; subfolders are left out.")
        self.add(
            "denoise by",
            self.by,
            "<qt><b>REUCID</b>: with the settings that its widget has when you start. <b>trained "
            "network</b>: the one in the pair widget.</qt>",
        )
        self.add("", self.network, "A network that was saved by the pair widget.")
        self.add("results", self.results, "Beside the images they are named NAME_denoised.tif.")
        self.add("", self.out, "The folder of the results, created if needed.")
        self.add(
            "stored as",
            self.stored,
            "<qt>Integers of the image make small files. A result is refused where its values "
            "would clip, or where whole grey levels are coarser than the noise that is left."
            "</qt>",
        )
        self.add(
            "existing",
            self.existing,
            "<qt>A result is finished if it was made with the same settings from the same image. "
            "Others are replaced only if you say so.</qt>",
        )
        for box in (self.images, self.by, self.results):
            box.currentIndexChanged.connect(self._show)
        self._show()

    @property
    def source(self) -> Literal["layers", "folder"]:
        """Where the images come from."""
        found: Literal["layers", "folder"] = self.images.currentData()
        return found

    @property
    def method(self) -> By:
        """What denoises."""
        found: By = self.by.currentData()
        return found

    def output_folder(self) -> Path | None:
        """Return the folder of the results; None for the folders of the images.

        Raises
        ------
        ValueError
            If none is chosen.
        """
        if not self.results.currentData():
            return None
        if self.out.path is None:
            raise ValueError("Choose a folder for the results.")
        return self.out.path

    def options(self) -> dict[str, Any]:
        """Return attributes of `FileJob`."""
        stored: StoredType = self.stored.currentData()
        replace = bool(self.existing.currentData())
        return {"stored": stored, "overwrite": replace, "resume": not replace}

    def _show(self, event: Any = None) -> None:
        self.show_field(self.folder, self.source == "folder")
        self.show_field(self.network, self.method == "file")
        self.show_field(self.out, bool(self.results.currentData()))
