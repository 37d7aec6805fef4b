"""Srinivas and Fleuret 2019, eqs. 2 and 3, on a network whose layers all have the input's grid.

The biases of a convolution and the norm behind it: the norm's own comes after its scale, the convolution's before.
"""


def reference(chain, x, j, *, absolute):
    back = chain.backward(x, j)
    part = abs if absolute else (lambda term: term)
    found = part(x * back[0].reshape(x.shape)).sum(axis=0)
    for (_, bias), gradient, shape in zip(chain.layers[:-1], back[1:-1], chain.shapes[:-1], strict=True):
        found = found + part((bias * gradient).reshape(shape)).sum(axis=0)
    return found
