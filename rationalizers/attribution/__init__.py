"""Attributions: rationales of models that were not made to give any, each from its own family of reasons."""

from rationalizers.attribution.base import Attribution
from rationalizers.attribution.gradient import IntegratedGradients

__all__ = ["Attribution", "IntegratedGradients"]
