"""Train a classifier: batches in, a history of losses and accuracies out.

::

    train, validation = to_samples(dataset, train_rows), to_samples(dataset, validation_rows)
    classifier = new_classifier(28, dataset.classes, UNIT, params.model, seed=0)
    history = fit(classifier, train, validation, params.train, params.optimizers)
    history.epochs[-1].validation_accuracy

``fit`` trains in place. The same settings give the same bits, also after a kill: pass it a ``Checkpoint``.

- ``loop``: ``fit``, the training loop.
- ``batches``: ``Samples``, and the order and augmentation of every epoch, each a function of the seed and the epoch.
- ``shards``: parts of a batch, for several threads and processes.
- ``losses``: by name; loss and accuracy of a classifier, temperature scaling.
- ``optimizers``: by name, with their learning-rate schedules.
- ``augmentation``: random rotation, scale, shear, shift and elastic deformation.
- ``state``, ``checkpoint``: what ``fit`` records, by epoch and step, and how it resumes after a kill.
- ``summary``: the metrics of a run.
"""
