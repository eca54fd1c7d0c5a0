// The kernels of lie_jax/native/cuda/location.cuh on a CPU, for tests.

#include <warp.cuh>

#include "location.cuh"

template <int kSteps>
void RunKind(int kind, const float* x, const location::Weights& weights, const float* cotangent,
             float* result, int heads, int features, int64_t pairs, int64_t blocks) {
  constexpr int threads = 32 * location::kWarps;
  if (kind == 0)
    warp::Run(location::Scores<kSteps>, {blocks, heads}, threads, x, weights, result, features,
              pairs);
  if (kind == 1)
    warp::Run(location::PullWeights<kSteps>, {blocks, heads}, threads, x, weights, cotangent,
              result, features, pairs);
  if (kind == 2)
    warp::Run(location::PullFeatures<kSteps>, {blocks, 1}, threads, x, weights, cotangent, result,
              heads, features, pairs);
}

extern "C" void run(int kind, const float* x, const float* w1, const float* b1, const float* w2,
                    const float* b2, const float* w3, const float* b3, const float* cotangent,
                    float* result, int heads, int features, int64_t pairs, int64_t blocks) {
  const location::Weights weights = {w1, b1, w2, b2, w3, b3};
  const auto run = features <= 8 ? RunKind<1> : RunKind<2>;
  run(kind, x, weights, cotangent, result, heads, features, pairs, blocks);
}
