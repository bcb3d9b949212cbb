"""What gunicorn reads when it is started in this folder."""

import os


def worker_exit(server, worker):
    """End the worker at once, with nothing left to do.

    onnxruntime has a thread that a fork does not copy. At the end of a worker that was
    forked after the ranker was loaded it would wait for it, until gunicorn kills it.
    """
    os._exit(0)
