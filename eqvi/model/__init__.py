"""The method: tensors in, tensors out."""
