"""What every other room stands on: errors, files, arrays, YAML, numerics and hardware. Imports no other room.

- ``errors``: ``PipelineError``, the base of every error that a user can fix.
- ``program``: run a stage or a command; an error becomes ``stage: message`` and exit status 1.
- ``files``: ``atomic_write``, JSON, CSV, SHA-256.
- ``arrays``: safetensors files, the format of data sets, models and checkpoints.
- ``yaml``: YAML 1.2, as DVC writes it.
- ``numerics``: bitwise-reproducible arithmetic. ``numerics.configure("portable")`` must run before NumPy is imported.
- ``hardware``: the machine and its packages. ``statistics``: exact moments, Wilson's interval.
"""
