"""Graph encoders with two verbs: ``embed`` turns nodes into vectors, ``encode`` passes messages between them."""

from graph.encoders.encoder import GraphEncoder
from graph.encoders.gcn import GCN
from graph.encoders.gin import GIN
from graph.encoders.gps import GPS

__all__ = ["GCN", "GIN", "GPS", "GraphEncoder"]
