"""How alike is the network's embedding to a reference: cosine or dot product."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from heatproof.errors import TargetError
from heatproof.inputs import read
from heatproof.models import as_model
from heatproof.models.outputs import device_and_dtype
from heatproof.models.pool import ViewPool
from heatproof.targets._field import tensor_of
from heatproof.targets._frozen import FrozenArray
from heatproof.targets._kind import Kind

_KEYS = ("image_embeds", "embeddings", "embedding", "pooler_output", "logits", "out")


@dataclass(frozen=True)
class Similarity(Kind):
    """The similarity of the embedding e of an input to a reference r (d,): of another image, of a text, a prototype.

    cosine: e.r / (|e| |r|), 0 where e is 0; dot: e.r.

    Attributes:
        reference: (d,) array or tensor.
        kind: "cosine" or "dot".
        key: name of the embedding in a dict or object output; None finds image_embeds, embeddings, pooler_output, ...
        title: what captions call the reference.

    Raises:
        TargetError: the reference is no vector, or zero; the kind is unknown; when evaluated, the embedding is no
            vector of its length.
    """

    reference: Any
    kind: str = "cosine"
    key: str | None = field(default=None, kw_only=True)
    title: str = field(default="the reference", kw_only=True)

    def __post_init__(self) -> None:
        vector = FrozenArray.of(self.reference, "reference")
        if len(vector.shape) == 2 and vector.shape[0] == 1:
            vector = FrozenArray(vector.shape[1:], vector.dtype, vector.data)
        if len(vector.shape) != 1 or not vector.numpy().any():
            raise TargetError(f"The reference of shape {vector.shape} is no vector (d,), or it is zero throughout.")
        if self.kind not in ("cosine", "dot"):
            raise TargetError(f"kind is {self.kind!r}; it must be 'cosine' or 'dot'.")
        object.__setattr__(self, "reference", vector)

    @staticmethod
    def to(
        model: Any,
        x: Any,
        kind: str = "cosine",
        *,
        key: str | None = None,
        title: str = "the reference",
    ) -> "Similarity":
        """Return the similarity to what the model itself makes of a reference image.

        Args:
            model: the network or `Model` that will be explained.
            x: one input: a batched tensor (1, c, *spatial) as it is; all else is read and prepared by the model.
            kind: "cosine" or "dot".
            key: name of the embedding in a dict or object output.
            title: what captions call the reference.

        Raises:
            TargetError: more than one input, or an output that holds no vector.
        """
        known = as_model(model)
        if isinstance(x, Tensor) and x.ndim >= 3 and x.shape[0] == 1:
            batch = x
        else:
            original = read(x)
            if isinstance(original, list):
                raise TargetError(f"There are {len(original)} reference inputs; give one.")
            batch = known.prepare(original).tensor.unsqueeze(0)
        device, dtype = device_and_dtype(known.net)
        with torch.inference_mode(False), torch.no_grad(), ViewPool(known.net).borrow(quiet=True) as view:
            output = view(batch.to(device, dtype))
        return Similarity(_vector(tensor_of(output, key, _KEYS, "embedding")[0]), kind, key=key, title=title)

    @property
    def name(self) -> str:
        """The kind of similarity, and to what."""
        return f"{'cosine similarity to' if self.kind == 'cosine' else 'dot product with'} {self.title}"

    def __call__(self, output: Any) -> Tensor:
        """Return y ()."""
        found = _vector(tensor_of(output, self.key, _KEYS, "embedding"))
        reference = self.reference.tensor(found)
        if found.shape != reference.shape:
            raise TargetError(
                f"The embedding has {len(found)} values, the reference {len(reference)}; take the reference from the "
                "same network."
            )
        if self.kind == "dot":
            return found @ reference
        largest = found.detach().abs().max()
        if not bool(largest):
            return (found * 0).sum()
        scaled = found / largest  # so that squares of small numbers do not vanish
        return scaled @ (reference / torch.linalg.vector_norm(reference)) / torch.linalg.vector_norm(scaled)


def _vector(found: Tensor) -> Tensor:
    while found.ndim > 1 and found.shape[-1] == 1:
        found = found.squeeze(-1)
    if found.ndim != 1:
        raise TargetError(
            f"The embedding of one input has shape {tuple(found.shape)}, not (d,); pass key= for the pooled one, or a "
            "callable that pools it."
        )
    return found
