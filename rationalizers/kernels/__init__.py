"""Operators shared by text and graphs, each with a readable torch body that is also what the CPU runs.

Every operator is a `torch.library` op of this namespace with a fake and a backward op, so that `torch.compile` passes through it
and a faster twin for a device can be attached to it (`rationalizers.kernels.cuda`, by `rationalizers.kernels.twin`). The public
function checks arguments; the op does not repeat that. Results that are sums are summed in float32 at least.
"""
