"""Use a trained classifier elsewhere: ONNX, a model card, photos of digits.

- ``onnx_export``: ``save_onnx(path, classifier)``. ``onnx_check``: onnxruntime agrees with PyTorch.
- ``model_card``: what the model is, how good it is, and what it is not for.
- ``photo``: an ordinary picture of a digit, preprocessed like the training images.
"""
