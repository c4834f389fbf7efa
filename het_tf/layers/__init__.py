"""Keras layers over het_tf tables."""

from het_tf.layers.distributed_embedding import DistributedEmbedding
from het_tf.layers.embedding import Embedding

__all__ = ["DistributedEmbedding", "Embedding"]
