"""params.yaml and data.yaml as frozen, typed objects that refuse unknown, missing, mistyped and out-of-range settings.

``load_params`` and ``load_data_files`` of ``schema`` are the only readers::

    params = load_params(Path("params.yaml"))
    params.train.epochs
    load_data_files(Path("data.yaml")).format_of(params.data.dataset).classes

- ``schema``: ``Params`` and ``load_params``, ``load_data_files``.
- ``data``, ``model``, ``run``: the sections. A new setting is a field there and a line in params.yaml.
- ``overrides``: changes by dotted name, as in ``dvc exp run -S model.optimizer=adam``.
- ``base``: ``Section``, the base class of all.
"""
