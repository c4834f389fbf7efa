"""Keras layers over het_tf tables."""

from het_tf.layers.embedding import Embedding

__all__ = ["Embedding"]
