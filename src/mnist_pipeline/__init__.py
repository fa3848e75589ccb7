"""A reproducible pipeline for image classification: the package behind the stages of dvc.yaml.

Each sub-package is a room, and imports only those below it::

    cli                                                     the ``mnist`` command
    ingest | training | evaluation | deploy | experiments   what stages and commands do
    models | provenance
    data | figures
    params                                                  params.yaml
    core                                                    files, arrays, numerics, errors

Start with ``help(mnist_pipeline.training)``.
"""
