// `location.cuh` for XLA.

#include <cuda_runtime.h>

#include <algorithm>
#include <string>

#include "xla/ffi/api/ffi.h"

#include "location.cuh"

namespace ffi = xla::ffi;

namespace {

using location::kTile;
using location::kWarps;
using location::Weights;
using Array = ffi::Buffer<ffi::F32>;

// As in cuda_location.py.
enum Kind : int32_t { kScores = 0, kPullWeights = 1, kPullFeatures = 2 };

// Blocks that are sure to fill the largest GPU several times over.
constexpr int64_t kMostBlocks = 4096;
constexpr int64_t kMostHeads = 65535;  // a grid's second side

template <int kSteps>
void Launch(cudaStream_t stream, Kind kind, const float* x, const Weights& weights,
            const float* cotangent, float* result, int heads, int features, int64_t pairs,
            int64_t shares) {
  const int64_t needed = (pairs + kTile * kWarps - 1) / (kTile * kWarps);
  if (kind == kScores) {
    const dim3 grid(std::min(needed, std::max<int64_t>(1, kMostBlocks / heads)), heads);
    location::Scores<kSteps>
        <<<grid, 32 * kWarps, 0, stream>>>(x, weights, result, features, pairs);
  } else if (kind == kPullWeights) {
    location::PullWeights<kSteps><<<dim3(shares, heads), 32 * kWarps, 0, stream>>>(
        x, weights, cotangent, result, features, pairs);
  } else {
    const dim3 grid(std::min(needed, kMostBlocks));
    location::PullFeatures<kSteps><<<grid, 32 * kWarps, 0, stream>>>(
        x, weights, cotangent, result, heads, features, pairs);
  }
}

bool Is(const Array& x, std::initializer_list<int64_t> shape) {
  const auto found = x.dimensions();
  return std::equal(found.begin(), found.end(), shape.begin(), shape.end());
}

ffi::Error Run(cudaStream_t stream, int32_t number, Array x, Array w1, Array b1, Array w2, Array b2,
               Array w3, Array b3, ffi::RemainingArgs rest, ffi::Result<Array> result) {
  const Kind kind = static_cast<Kind>(number);
  if (x.dimensions().size() != 2 || w1.dimensions().size() != 3)
    return ffi::Error::InvalidArgument("location: wrong number of axes");
  const int64_t features = x.dimensions()[0], pairs = x.dimensions()[1], heads = w1.dimensions()[0];
  constexpr int64_t h = location::kHidden;
  if (features < 1 || features > 16 || heads < 1 || heads > kMostHeads || kind < kScores || kind > kPullFeatures ||
      !Is(w1, {heads, features, h}) || !Is(b1, {heads, h}) || !Is(w2, {heads, h, h}) ||
      !Is(b2, {heads, h}) || !Is(w3, {heads, h, 1}) || !Is(b3, {heads, 1}))
    return ffi::Error::InvalidArgument("location: shapes that do not fit");
  const float* cotangent = nullptr;
  int64_t shares = 1;
  if (kind == kScores) {
    if (!Is(*result, {heads, pairs}) || rest.size() != 0)
      return ffi::Error::InvalidArgument("location: scores that do not fit");
  } else {
    auto given = rest.get<Array>(0);
    if (!given || !Is(*given, {heads, pairs}))
      return ffi::Error::InvalidArgument("location: cotangents that do not fit");
    cotangent = given->typed_data();
    const auto found = result->dimensions();
    if (kind == kPullWeights) {
      const int64_t size = features * h + h + h * h + 2 * h + 1;
      if (found.size() != 3 || found[0] != heads || found[1] < 1 || found[2] != size)
        return ffi::Error::InvalidArgument("location: gradients that do not fit");
      shares = found[1];
    } else if (!Is(*result, {features, pairs})) {
      return ffi::Error::InvalidArgument("location: gradients that do not fit");
    }
  }
  if (pairs == 0 && kind != kPullWeights) return ffi::Error::Success();
  const Weights weights = {w1.typed_data(), b1.typed_data(), w2.typed_data(),
                           b2.typed_data(), w3.typed_data(), b3.typed_data()};
  const auto launch = features <= 8 ? Launch<1> : Launch<2>;
  launch(stream, kind, x.typed_data(), weights, cotangent, result->typed_data(), heads, features,
         pairs, shares);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess)
    return ffi::Error::Internal(std::string("location: ") + cudaGetErrorString(status));
  return ffi::Error::Success();
}

}  // namespace

// Why kernels cannot run here; null if they can.
extern "C" const char* lie_jax_location_failure() {
  cudaFuncAttributes unused;
  const cudaError_t status = cudaFuncGetAttributes(&unused, location::Scores<1>);
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(lie_jax_location, Run,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::PlatformStream<cudaStream_t>>()
                                  .Attr<int32_t>("kind")
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .RemainingArgs()
                                  .Ret<Array>(),
                              {ffi::Traits::kCmdBufferCompatible});
