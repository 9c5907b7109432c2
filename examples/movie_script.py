"""Train on a few frames of a movie, then stream the whole of it, frame by frame, into zarr.

Run it with: python examples/movie_script.py [EPOCHS]

The movie may be larger than memory (zarr, dask).  Interrupted, the same script goes on after the
frames that are finished.  With the client of a dask.distributed cluster open, it runs there.
"""

import sys

import dask.array as da

from napari_lowdose import Noise2Noise, Stream, denoise
from napari_lowdose.samples import Beamsplitter, beamsplitter_movie

# Two views of moving cells on one camera, cut apart at whole pixels
epochs = float(sys.argv[1]) if len(sys.argv) > 1 else 20
splitter = Beamsplitter(shift=(0.0, 0.0))
movie, _ = beamsplitter_movie(splitter=splitter)
(a, b, c, d), (e, f, g, h) = splitter.regions((192, 192))  # y0, y1, x0, x1 of each view
first, second = (
    da.from_array(view, chunks=(1, -1, -1)) for view in (movie[:, a:b, c:d], movie[:, e:f, g:h])
)

# Every 12th pair is enough to learn from
model = Noise2Noise(epochs=epochs, every=12).train(first, second)

# Lazy in, lazy out: a frame is denoised when it is looked at
clean = denoise((first, second), model)
print(clean)

# All frames, one after the other, to disk; napari opens the folder lazily
stream = Stream((first, second), model, "cells.zarr", attributes={"axes": "TYX"})
for step in stream:
    if step.image is not None:
        print(f"{step.fraction:.0%} frame {step.index[0]}, {step.seconds_left:.0f} s left")
