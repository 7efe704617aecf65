"""Attributions: rationales of models that were not made to give any, each from its own family of reasons."""

from rationalizers.attribution.attention import Attention, AttentionRollout
from rationalizers.attribution.base import Attribution
from rationalizers.attribution.completeness import completeness_gap
from rationalizers.attribution.deeplift import DeepLift
from rationalizers.attribution.gradient import InputXGradient, IntegratedGradients, Saliency
from rationalizers.attribution.lime import Lime
from rationalizers.attribution.padded import Padded
from rationalizers.attribution.perturbation import FeatureAblation, ShapleySampling
from rationalizers.attribution.reference import OwnScores, RandomScores

__all__ = [
    "Attention",
    "AttentionRollout",
    "Attribution",
    "DeepLift",
    "FeatureAblation",
    "InputXGradient",
    "IntegratedGradients",
    "Lime",
    "OwnScores",
    "Padded",
    "RandomScores",
    "Saliency",
    "ShapleySampling",
    "completeness_gap",
]
