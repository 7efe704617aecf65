"""Encoders with two verbs: ``embed`` turns units into vectors, ``encode`` lets them see each other.

Padding exists only here.
"""

from rationalizers.encoders.causal import CausalEncoder
from rationalizers.encoders.convolution import ConvolutionEncoder
from rationalizers.encoders.embedding import EmbeddingEncoder
from rationalizers.encoders.encoder import Encoder
from rationalizers.encoders.gru import GRUEncoder
from rationalizers.encoders.pretrained import PretrainedEncoder
from rationalizers.encoders.vectors import read_vectors

__all__ = [
    "CausalEncoder",
    "ConvolutionEncoder",
    "EmbeddingEncoder",
    "Encoder",
    "GRUEncoder",
    "PretrainedEncoder",
    "read_vectors",
]
