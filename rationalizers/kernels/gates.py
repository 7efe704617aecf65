"""The gates that masks are drawn from, by number, and the constants of HardKuma: what an operator and its twin must agree on."""

CONCRETE, STRAIGHT_THROUGH, HARDKUMA = range(3)
# HardKuma: uniform noise is taken from its middle, and the sample stretched beyond both ends of [0, 1] before it is cut there.
EDGE, LOW, HIGH = 0.001, -0.1, 1.1
