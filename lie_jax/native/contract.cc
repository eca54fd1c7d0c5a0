// The products of attention in clouds of few points, batched over clouds and heads.
//
//   scores  S[b,h,q,k] = sum_c X[b,q,h,c] Y[b,k,h,c]
//   mix     X[b,q,h,c] = sum_k S[b,h,q,k] Y[b,k,h,c]
//   spread  Y[b,k,h,c] = sum_q S[b,h,q,k] X[b,q,h,c]
//
// float32, row-major. Heads stay where the projections have them, so nothing is transposed in memory:
// the right factor of a head is copied into a small buffer, with its rows filled up to whole vectors.

#include <algorithm>
#include <cstring>

#include "parallel.h"
#include "vectors.h"

namespace {

constexpr int kMost = 64;  // of q, k and c
constexpr int kColumns = kSide * kLanes;  // of a result, at once

enum class Form { kScores, kMix, kSpread };

// out(i, 0..n) = sum_l left(i, l) right[l], of right's vectors from ``first`` on; left at i * row +
// l * column, rows of out apart by ``apart``.
template <int kVectors>
void Multiply(const float* left, int64_t row, int64_t column, int rows, int inner,
              const V (*right)[kMost / kLanes], int first, int n, float* out, int64_t apart) {
  constexpr int kRows = 4;
  for (int i = 0; i < rows; i += kRows) {
    V sum[kRows][kVectors] = {};
    const float* from[kRows];
    for (int u = 0; u < kRows; ++u) from[u] = left + std::min(i + u, rows - 1) * row;
    for (int l = 0; l < inner; ++l)
      for (int u = 0; u < kRows; ++u) {
        const float factor = from[u][l * column];
        for (int v = 0; v < kVectors; ++v) sum[u][v] += factor * right[l][first + v];
      }
    for (int u = 0; u < std::min(kRows, rows - i); ++u)
      std::memcpy(out + (i + u) * apart, sum[u], n * sizeof(float));
  }
}

// Multiply, by as many vectors as the columns need.
template <int kVectors = kSide>
void MultiplyAll(const float* left, int64_t row, int64_t column, int rows, int inner,
                 const V (*right)[kMost / kLanes], int first, int n, float* out, int64_t apart) {
  if constexpr (kVectors > 1) {
    if (n <= (kVectors - 1) * kLanes)
      return MultiplyAll<kVectors - 1>(left, row, column, rows, inner, right, first, n, out, apart);
  }
  Multiply<kVectors>(left, row, column, rows, inner, right, first, n, out, apart);
}

ffi::Error Handle(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> left, ffi::Buffer<ffi::F32> right,
                  ffi::Result<ffi::Buffer<ffi::F32>> out, int32_t form_number) {
  const Form form = static_cast<Form>(form_number);
  const auto a = left.dimensions(), b = right.dimensions();
  const bool is_scores = form == Form::kScores;
  const int64_t clouds = a[0], heads = b[2], c = b[3];
  const int64_t q = is_scores ? a[1] : a[2], k = is_scores ? b[1] : a[3];
  if (std::max({q, k, c}) > kMost) return ffi::Error::InvalidArgument("contract: too large");
  const float *x = left.typed_data(), *y = right.typed_data();
  float* z = out->typed_data();
  const int64_t point = heads * c;  // from one point's features to the next's

  auto task = [&](int64_t cloud) {
    alignas(64) V packed[kMost][kMost / kLanes];
    float* to = reinterpret_cast<float*>(packed);
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t inner = is_scores ? c : form == Form::kMix ? k : q;
      const int64_t n = is_scores ? k : c;
      const int64_t points = form == Form::kSpread ? q : k;  // of the right factor
      const float* y_head = y + cloud * points * point + h * c;
      std::memset(packed, 0, inner * sizeof(packed[0]));
      for (int64_t p = 0; p < points; ++p) {
        if (is_scores)
          for (int64_t i = 0; i < c; ++i) to[i * kMost + p] = y_head[p * point + i];
        else
          std::memcpy(to + p * kMost, y_head + p * point, c * sizeof(float));
      }
      const int64_t pair = (cloud * heads + h) * q * k;
      const float* from = is_scores ? x + cloud * q * point + h * c : x + pair;
      const int64_t row = is_scores ? point : form == Form::kMix ? k : 1;
      const int64_t column = form == Form::kSpread ? k : 1;
      const int64_t rows = form == Form::kSpread ? k : q;
      float* result = is_scores ? z + pair : z + cloud * rows * point + h * c;
      const int64_t apart = is_scores ? k : point;
      for (int64_t at = 0; at < n; at += kColumns) {
        const int columns = std::min<int64_t>(kColumns, n - at);
        MultiplyAll(from, row, column, rows, inner, packed, at / kLanes, columns, result + at, apart);
      }
    }
  };
  // Some clouds a task, so that one is worth its start.
  const int64_t some = std::max<int64_t>(1, 65536 / (heads * q * k * c + 1));
  const int64_t tasks = (clouds + some - 1) / some;
  Parallel(pool, tasks, [&](int64_t t) {
    for (int64_t i = t * some; i < std::min(clouds, (t + 1) * some); ++i) task(i);
  });
  return ffi::Error::Success();
}

}  // namespace

extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* lie_jax_contract(
    XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(lie_jax_contract, Handle,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<int32_t>("form"));
