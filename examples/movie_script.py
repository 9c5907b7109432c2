"""Train on a few frames of a movie, then denoise all of it, frame by frame, into a zarr folder.

Usage: python examples/movie_script.py [EPOCHS]

The movie may be larger than memory (zarr, dask).  If the script is interrupted, run it again: it
continues after the last finished frame.  If the client of a dask.distributed cluster is open, the
frames are denoised on the cluster.
"""

import sys

import dask.array as da

from napari_lowdose import Noise2Noise, Stream, denoise
from napari_lowdose.samples import Beamsplitter, beamsplitter_movie

# A camera records two views of moving cells side by side: cut them apart at integer pixels
epochs = float(sys.argv[1]) if len(sys.argv) > 1 else 20
splitter = Beamsplitter(shift=(0.0, 0.0))
movie, _ = beamsplitter_movie(splitter=splitter)
(a, b, c, d), (e, f, g, h) = splitter.regions((192, 192))  # y0, y1, x0, x1 of each view
first, second = (
    da.from_array(view, chunks=(1, -1, -1)) for view in (movie[:, a:b, c:d], movie[:, e:f, g:h])
)

# Every 12th pair is enough for training
model = Noise2Noise(epochs=epochs, every=12).train(first, second)

# A dask array in gives a lazy dask array out: a frame is denoised when it is computed
clean = denoise((first, second), model)
print(clean)

# Write all frames to disk, one after the other; napari opens the folder lazily
stream = Stream((first, second), model, "cells.zarr", attributes={"axes": "TYX"})
for step in stream:
    if step.image is not None:
        print(f"{step.fraction:.0%} frame {step.index[0]}, {step.seconds_left:.0f} s left")
