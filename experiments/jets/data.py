"""Synthetic jets of 8 to 16 pions, of two kinds that only the pions' relative motion tells apart.

*One prong*: a cluster sheds its pions one by one. *Two prongs*: a heavy particle decays to two
clusters, which shed theirs; 15 to 50 % of the energy beyond the pions' masses stays in the
clusters, the rest drives them apart. Every decay is into two, isotropic in the rest frame of what
decays, and a cluster divides its kinetic energy as sorted uniform numbers would. Number of pions
and energy in the rest frame have the same distribution for both kinds, so that neither count nor
mass of a jet tells its kind. In the laboratory a jet moves with a rapidity below 0.3 in a random
direction.

Four-momenta are (E, px, py, pz) in units of `UNIT`. What makes a jet one kind or the other is
invariant, because decays know nothing of the laboratory.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

import lie_jax as lj
from experiments.compare.comparison import Examples
from experiments.jets.lorentz import boost, boost_by_momentum, directions
from lie_jax.typing import Array, PRNGKey

PION = 0.14
"""Mass in GeV."""
UNIT = PION
"""Of momenta, in GeV."""
FEWEST, MOST = 8, 16
KINETIC = (1.5, 4.0)
"""Energy of a jet at rest beyond the pions' masses, in GeV."""
KEPT = (0.15, 0.5)
"""Share of it that stays within the two prongs."""
LAB_RAPIDITY = 0.3


class Cluster(NamedTuple):
    """What has yet to decay: four-momentum (n, 4), kinetic energy at rest (n,), pions (n,)."""

    momentum: Array
    kinetic: Array
    pions: Array

    @property
    def mass(self) -> Array:
        """(n,), in GeV."""
        return self.pions * PION + self.kinetic


@functools.partial(jax.jit, static_argnums=1)
def jets(key: PRNGKey, count: int) -> Examples:
    """``count`` jets; the target is 1 for two prongs, 0 for one, half each."""
    keys = jax.random.split(key, 8)
    target = jnp.arange(count) % 2
    pions = jax.random.randint(keys[0], (count,), FEWEST, MOST + 1)
    kinetic = jax.random.uniform(keys[1], (count,), minval=KINETIC[0], maxval=KINETIC[1])
    whole = Cluster(at_rest(pions * PION + kinetic), kinetic, pions)
    one = shed(keys[2], whole, MOST)
    prongs = split(keys[3], whole)
    two = jnp.concatenate(
        [shed(k, prong, MOST) for k, prong in zip(keys[4:6], prongs, strict=True)], axis=1
    )
    momenta = jnp.where(target[:, None, None] == 1, compact(two, MOST), one)
    rapidity = LAB_RAPIDITY * jax.random.uniform(keys[6], (count,))
    lab = boost(rapidity, directions(keys[7], (count,)))
    momenta = jnp.einsum("nij,nkj->nki", lab, momenta, precision="highest")
    mask = momenta[..., 0] > 0
    return Examples(lj.PointSet(momenta / UNIT, mask[..., None].astype(jnp.float32), mask), target)


def at_rest(mass: Array) -> Array:
    """(n, 4)."""
    return mass[:, None] * jnp.asarray([1.0, 0, 0, 0])


def split(key: PRNGKey, whole: Cluster) -> tuple[Cluster, Cluster]:
    """The two prongs of a heavy particle, with half of the pions each."""
    keys = jax.random.split(key, 3)
    n = len(whole.pions)
    first = whole.pions // 2
    kept = jax.random.uniform(keys[0], (n,), minval=KEPT[0], maxval=KEPT[1]) * whole.kinetic
    share = jax.random.uniform(keys[1], (n,), minval=0.3, maxval=0.7)
    energies, pions = (kept * share, kept * (1 - share)), (first, whole.pions - first)
    masses = [p * PION + e for p, e in zip(pions, energies, strict=True)]
    momenta = decay(keys[2], whole.momentum, whole.mass, *masses)
    a, b = (Cluster(*x) for x in zip(momenta, energies, pions, strict=True))
    return a, b


def shed(key: PRNGKey, cluster: Cluster, most: int) -> Array:
    """The pions that a cluster sheds, (n, most, 4); 0 where it has fewer."""

    def one(left: Cluster, key: PRNGKey) -> tuple[Cluster, Array]:
        share_key, decay_key = jax.random.split(key)
        # Of k pions the largest of k - 2 uniform numbers stays with the rest; one has no rest.
        power = 1 / jnp.maximum(left.pions - 2, 1)
        share = jax.random.uniform(share_key, left.kinetic.shape) ** power
        rest = jnp.maximum(left.pions - 1, 0)
        kinetic = jnp.where(left.pions > 2, share * left.kinetic, 0)
        mass = rest * PION + kinetic
        pion, other = decay(decay_key, left.momentum, left.mass, jnp.full_like(mass, PION), mass)
        is_last = (left.pions == 1)[:, None]
        pion = jnp.where(is_last, left.momentum, pion)
        pion = jnp.where((left.pions > 0)[:, None], pion, 0)
        return Cluster(other, kinetic, rest), pion

    pions = jax.lax.scan(one, cluster, jax.random.split(key, most))[1]
    return jnp.swapaxes(pions, 0, 1)


def decay(key: PRNGKey, p: Array, mass: Array, m1: Array, m2: Array) -> tuple[Array, Array]:
    """Momenta (n, 4) of the two products, isotropic in the rest frame of what decays."""
    energy = (mass**2 + m1**2 - m2**2) / (2 * jnp.maximum(mass, PION))
    momentum = jnp.sqrt(jnp.maximum(energy**2 - m1**2, 0))
    direction = directions(key, mass.shape)
    first = jnp.concatenate([energy[:, None], momentum[:, None] * direction], axis=-1)
    to_lab = boost_by_momentum(p, jnp.maximum(mass, PION))
    first = jnp.einsum("nij,nj->ni", to_lab, first, precision="highest")
    return first, p - first


def compact(momenta: Array, most: int) -> Array:
    """The real particles first, of which there are at most ``most``."""
    order = jnp.argsort(momenta[..., 0] <= 0, axis=1, stable=True)[:, :most]
    return jnp.take_along_axis(momenta, order[..., None], axis=1)
