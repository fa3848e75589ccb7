"""What a result was made of: git revisions, DVC's lock files and cache, and the proof that a clone reproduces them.

Nothing here knows what the pipeline computes.

- ``git``: run git; resolve the names of revisions and DVC experiments; read files of a commit.
- ``dvc``: run dvc; dvc.lock of a commit; outputs in DVC's cache; its queue.
- ``finished``: experiments that are still results of the code, data and params of HEAD.
- ``plots_page``: writes the page of ``dvc plots show`` (``make plots-page``).
- ``recovery``: repairs what kills left; one command at a time. ``doctor``: finds damage, hash for hash.
- ``reset``: goes back to the last commit; lists what nothing else keeps.
- ``paths``: the files of the pipeline that commands read.
- ``verify``: ``verify(Path("."))`` runs the pipeline in a fresh clone and compares every hash.
"""
