"""Denoise the frames of a running source: a camera, a layer, a folder that is being filled."""

from napari_lowdose.live.camera import CameraSource as CameraSource
from napari_lowdose.live.folder import FolderSource as FolderSource
from napari_lowdose.live.folder import source_for as source_for
from napari_lowdose.live.live_run import LiveRun as LiveRun
from napari_lowdose.live.live_run import LiveStep as LiveStep
from napari_lowdose.live.live_run import denoise_live as denoise_live
from napari_lowdose.live.running_mean import RunningMean as RunningMean
from napari_lowdose.live.split_views import SplitViews as SplitViews
from napari_lowdose.live.watch_folder import watch_folder as watch_folder
