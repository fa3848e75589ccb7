"""A reproducible pipeline for image classification: the package behind the stages of dvc.yaml.

Each sub-package is a room, and imports only those below it::

    cli                                                the ``mnist`` command
    ingest | training | evaluation | deploy | ladder   what stages and commands do
    models | experiments                               classifiers; comparisons of runs
    provenance                                         git, DVC
    data | figures
    params                                             params.yaml
    core                                               files, arrays, numerics, errors

Start with ``help(mnist_pipeline.training)``.
"""
