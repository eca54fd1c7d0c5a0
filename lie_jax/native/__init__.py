"""Machine code of our own for a CPU or an NVIDIA GPU, where XLA's is slow.

It is compiled once, when it is first needed, by the machine's C++ compiler (for a GPU by CUDA's,
nvcc), and kept in ``~/.cache/lie_jax/native``. Without a compiler, or with the environment's
``LIE_JAX_NATIVE=0``, everything works as before, in XLA alone: `status` says which, and why.

The code for a GPU has only been tested with a warp that a CPU emulates. It is off unless the
environment says ``LIE_JAX_CUDA=1``.
"""

from lie_jax.native.accelerated import Accelerated as Accelerated
from lie_jax.native.available import LOCATION_SCORES as LOCATION_SCORES
from lie_jax.native.available import has_code as has_code
from lie_jax.native.build import status as status
from lie_jax.native.contract import contract as contract
from lie_jax.native.product import has_product as has_product
from lie_jax.native.product import matmul as matmul
