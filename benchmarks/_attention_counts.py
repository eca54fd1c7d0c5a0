"""How many floating-point operations and bytes a layer of attention needs, counted by hand.

With n tokens, k keys per query (n without neighbours), width c, h heads of e = c / h channels,
location MLP f -> L -> L -> 1 and P = n k pairs:

* a multiply-add is 2; adding a bias, an activation, an exponential, an addition are 1 each;
* projections (value, query, key, output): 4 n c (2 c + 1);
* the pair's group element and its logarithm: `PAIR`, once for all heads;
* per pair and head: location MLP 2 (f L + L L + L) + (2 L + 1) biases + 2 L activations; dot
  product 2 e; adding the two scores 1; normalisation `NORMALISE`; mixing the values 2 e.

Recomputation, for implementations that keep no pairs: everything per pair once more, but for the
mixing. Backward: each matrix product twice (gradients of its two factors; the gradient of the MLP's
input only where coordinates need it), biases, activations and normalisation once, the pair's
element twice where coordinates need it.

That is the arithmetic of the published layer, and the same for every implementation: what one
saves (the first layer of the MLP on abelian groups, antisymmetric pairs) or repeats shows as a
larger or smaller share of the peak. Lift and neighbour search are left out.

Bytes, 4 per number: what must move if a pair never leaves the processor. Forward: coordinates,
features, parameters and output once; queries, keys, values and mixed values written and read;
indices of neighbours written and read. Backward: those four and the features read again, their
gradients written and read, the output's gradient read, the gradients of parameters and features
(and coordinates) written.
"""

import dataclasses

from benchmarks._attention_case import SPACE, AttentionCase

FEATURES = {"T3": 3, "SE2": 3, "SE3": 6}
"""f: dimension of the group's algebra."""

PAIR = {"T3": 3, "SE2": 30, "SE3": 120}
"""Operations for log(inverse(g) h), the inverse given; about, but for T(3)."""

NORMALISE = {"softmax": (3, 2), "exp_mean": (1, 1), "mean": (0, 0)}
"""Forward (subtract the largest, exponential, sum) and backward (subtract, multiply)."""

RECOMPUTING = ("tiled", "pallas")


@dataclasses.dataclass(frozen=True)
class Counts:
    """Operations by pass, and bytes of all passes together."""

    forward: int
    recomputed: int
    backward: int
    bytes: int

    @property
    def flops(self) -> int:
        """Operations of all passes."""
        return self.forward + self.recomputed + self.backward


def count(case: AttentionCase) -> Counts:
    """The counts of one step of the case."""
    n, c, h, hidden = case.n, case.width, case.heads, case.location_hidden
    f, e, pairs = FEATURES[case.group], c // h, n * case.keys
    with_location = case.implementation != "floor"
    normalise, normalise_back = NORMALISE[case.normalisation if with_location else "softmax"]
    products = f * hidden + hidden * hidden + hidden
    mlp = 2 * products + (2 * hidden + 1) + 2 * hidden
    # The gradient of the MLP's input is needed for coordinates only.
    inputs = f * hidden if not case.coordinates else 0
    mlp_back = 4 * products - 2 * inputs + (2 * hidden + 1) + 2 * hidden
    pair = PAIR[case.group]

    score = 2 * e + normalise
    score_back = 4 * e + normalise_back
    if with_location:
        score, score_back = score + mlp + 1, score_back + mlp_back
    mix = 2 * e
    per_pair, per_pair_back = h * score, h * (score_back + 2 * mix)
    if with_location:
        per_pair += pair
        per_pair_back += 2 * pair if case.coordinates else 0

    forward = 4 * n * c * (2 * c + 1) + pairs * (per_pair + h * mix)
    recomputed = backward = 0
    if case.backward:
        recomputed = pairs * per_pair if case.implementation in RECOMPUTING else 0
        backward = 4 * n * c * (4 * c + 1) + pairs * per_pair_back
    return Counts(forward, recomputed, backward, 4 * _numbers(case, with_location))


def _numbers(case: AttentionCase, with_location: bool) -> int:
    n, c, hidden, f = case.n, case.width, case.location_hidden, FEATURES[case.group]
    parameters = 4 * c * (c + 1)
    if with_location:
        parameters += case.heads * (hidden * (f + 1) + hidden * (hidden + 1) + hidden + 1)
    coordinates, features = case.points * SPACE[case.group], case.points * c
    moved = features + parameters + n * c + 2 * 4 * n * c
    if with_location:
        moved += coordinates
    if case.neighbours is not None:
        moved += 2 * n * case.keys
    if case.backward:
        moved += 4 * n * c + features + 2 * 4 * n * c + n * c + parameters + features
        moved += coordinates if case.coordinates else 0
    return moved
