"""params.yaml as frozen, typed objects that refuse unknown, missing, mistyped and out-of-range settings.

``load_params(Path("params.yaml"))`` of ``schema`` is the only reader::

    params = load_params(Path("params.yaml"))
    params.train.epochs

- ``schema``: ``Params`` and ``load_params``.
- ``data``, ``model``, ``run``: the sections. A new setting is a field there and a line in params.yaml.
- ``overrides``: changes by dotted name, as in ``dvc exp run -S model.optimizer=adam``.
- ``base``: ``Section``, the base class of all.
"""
