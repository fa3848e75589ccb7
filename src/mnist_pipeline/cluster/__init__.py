"""Runs on other machines: each is one command in a clone, and its result is a ref at git's origin.

The dispatcher is disposable: what is done is known from the refs at the origin and the files at DVC's remote. A run
that is done twice gives the same tree, which proves it, or another one, which is an error.

- ``jobs``: a run, and where it is to happen.
- ``clones``: the clones of a worker: locked, repaired, with the packages that the commit asks for.
- ``work``: one run in a clone: data, `dvc exp run`, publication. ``checkpoints``: go on from another worker's.
- ``data``: to a worker, to DVC's remote, and here.
- ``origin``: the refs of results: published once, compared, set aside.
- ``dispatch``: many runs on Dask's workers: attempts, repetitions, workers that give other bits.
- ``workers``: Dask: connect, start workers here, what runs on them.
- ``session``: what a command needs: checks, workers, results here. ``screen``: the progress of all runs.
"""
