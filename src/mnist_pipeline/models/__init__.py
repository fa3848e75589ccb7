"""Networks, and the classifier that is built around one: preprocessing, prediction, probabilities, its file.

Load a trained model and classify images, uint8 (n, 28, 28)::

    classifier = load_classifier(Path("classifier.safetensors"))
    outputs = predict(classifier, images)                # float32 (n, classes)
    probabilities = classifier.probabilities(outputs)    # float64 (n, classes)

- ``registry``: every architecture by name; ``mlp`` and ``cnn`` build one each. docs/extending.md adds a third.
- ``classifier``: ``Classifier``, ``new_classifier``, ``save_classifier``, ``load_classifier``.
- ``prediction``: ``predict``, with test-time augmentation where the settings ask for it.
- ``linear``, ``activations``, ``deskew``: building blocks, the same bits on every CPU in portable numerics.
"""
