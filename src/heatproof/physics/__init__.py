"""What is known of the system that a model looks at: laws, derived fields, conservation.

A law says how an input may change and what must follow (`mirror`, `shift`, `boost`, ... or a `Law` of your own); a
known field says where physics sees something (`vorticity`, `lines`, ...); a balance says what is conserved
(`continuity`). The checks `symmetry` and `physics` hold a model and its maps against them.
"""

from heatproof.physics.balance import Balance, continuity, divergence
from heatproof.physics.fields import Known, energy, gradient, lines, q_criterion, vorticity
from heatproof.physics.law import Law, negated, same, scaled, swapped
from heatproof.physics.moves import mirror, permute, reverse, rotate, shift, turn
from heatproof.physics.values import boost, flip_sign, phase, rescale

__all__ = [
    "Balance",
    "Known",
    "Law",
    "boost",
    "continuity",
    "divergence",
    "energy",
    "flip_sign",
    "gradient",
    "lines",
    "mirror",
    "negated",
    "permute",
    "phase",
    "q_criterion",
    "rescale",
    "reverse",
    "rotate",
    "same",
    "scaled",
    "shift",
    "swapped",
    "turn",
    "vorticity",
]
