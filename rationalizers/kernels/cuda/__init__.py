"""Triton twins of the operators, one file each by the operator's name: kernels first, then what launches them.

Launchers take and return what the operator does, for arguments that it has checked; everything is loaded into float32 and summed
there. No kernel adds atomically: sums go over partial results in a fixed order, so that two runs give the same bits.
"""
