// The location MLP of every head at every pair of points, and its first and second derivatives.
//
//   score = act(w3 . act(W2^T act(W1^T x + b1) + b2) + b3),   act = swish,
//
// x a pair's features, H hidden features per layer, weights of its own for every head. Arrays are
// float32, pairs last: x (F, P), W1 (heads, F, H), scores (heads, P). Hidden features live in the
// cache only, kChunk pairs at a time, and derivatives compute them anew. HIDDEN, a multiple of 4, is
// given to the compiler.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "parallel.h"
#include "vectors.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

constexpr int kChunk = 128;             // pairs whose hidden features are in the cache together
constexpr int kBlocks = kChunk / kLanes;
constexpr int64_t kTask = 8 * kChunk;   // pairs of a task: fixed, so that sums have one order
constexpr int kMaxFeatures = 16;

typedef int32_t VI __attribute__((vector_size(4 * kLanes)));

#define INLINE inline __attribute__((always_inline))

INLINE V Splat(float x) { return x - V{}; }

INLINE float Sum(V x) {
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += x[i];
  return total;
}

// 2^f for |f| <= 1/2, as in lie_jax/attention/activations.py.
INLINE V Mantissa(V f) {
  V low = 1.0000000716548711f + 0.6931469670643267f * f;
  V middle = 0.24022119722913893f + 0.055507132737604374f * f;
  V high = 0.009675541384713271f + 0.001327647204906933f * f;
  return low + f * f * (middle + f * f * high);
}

// 1 / (1 + exp(-x)). NaN passes; 2^126, the most that exp is here, has a normal inverse.
INLINE V Logistic(V x) {
  V t = x * -1.4426950408889634f;
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  t = (V)_mm512_min_ps(_mm512_set1_ps(126.0f), (__m512)t);  // of a NaN, its second argument
  V f = (V)_mm512_reduce_ps((__m512)t, 0);                   // t less the nearest integer,
  V power = (V)_mm512_scalef_ps((__m512)Mantissa(f), (__m512)(t - f));  // which is t - f
  V sum = 1.0f + power;
  V inverse = (V)_mm512_rcp14_ps((__m512)sum);  // to 14 bits; a step of Newton's doubles them
  return inverse * (2.0f - sum * inverse);
#else
  t = t < -126.0f ? Splat(-126.0f) : t;
  t = t > 126.0f ? Splat(126.0f) : t;
  V shifted = t + 12582912.0f;  // 1.5 * 2^23: the nearest integer in the last bits
  VI whole = (VI)shifted - 0x4B400000;
  V f = t - (shifted - 12582912.0f);
  return 1.0f / (1.0f + Mantissa(f) * (V)((whole + 127) << 23));
#endif
}

struct Weights {
  const float *w1, *b1, *w2, *b2, *w3, *b3;
};

// Rows of a chunk, one after the other.
template <int R>
struct alignas(64) Rows {
  V at[R][kBlocks];
};

// out[o] (+)= sum_i w(i, o) in[i], w at w[i * in_stride + o * out_stride]; kSum adds to ``out``.
template <int O, bool kSum = false>
INLINE void Layer(const V (*in)[kBlocks], int rows, const float* w, int in_stride, int out_stride,
                  const float* bias, V (*out)[kBlocks]) {
  constexpr int kO = O % 4 == 0 ? 4 : 1, kP = kSide;
  for (int o = 0; o < O; o += kO) {
    for (int p = 0; p < kBlocks; p += kP) {
      V sum[kO][kP];
      for (int u = 0; u < kO; ++u)
        for (int v = 0; v < kP; ++v)
          sum[u][v] = kSum ? out[o + u][p + v] : Splat(bias ? bias[o + u] : 0.0f);
      for (int i = 0; i < rows; ++i) {
        for (int u = 0; u < kO; ++u) {
          V weight = Splat(w[i * in_stride + (o + u) * out_stride]);
          for (int v = 0; v < kP; ++v) sum[u][v] += weight * in[i][p + v];
        }
      }
      for (int u = 0; u < kO; ++u)
        for (int v = 0; v < kP; ++v) out[o + u][p + v] = sum[u][v];
    }
  }
}

// sums[i * O + o] += left[i] right[o], lane by lane.
template <int O>
INLINE void Outer(const V (*left)[kBlocks], int rows, const V (*right)[kBlocks], V* sums) {
  constexpr int kO = O % 4 == 0 ? 4 : 1;
  for (int i = 0; i < rows; i += kSide) {
    int some = rows - i < kSide ? rows - i : kSide;
    for (int o = 0; o < O; o += kO) {
      if (some == kSide) {
        V sum[kSide][kO];
        for (int u = 0; u < kSide; ++u)
          for (int v = 0; v < kO; ++v) sum[u][v] = sums[(i + u) * O + o + v];
        for (int p = 0; p < kBlocks; ++p)
          for (int u = 0; u < kSide; ++u)
            for (int v = 0; v < kO; ++v) sum[u][v] += left[i + u][p] * right[o + v][p];
        for (int u = 0; u < kSide; ++u)
          for (int v = 0; v < kO; ++v) sums[(i + u) * O + o + v] = sum[u][v];
      } else {
        for (int u = 0; u < some; ++u) {
          V sum[kO];
          for (int v = 0; v < kO; ++v) sum[v] = sums[(i + u) * O + o + v];
          for (int p = 0; p < kBlocks; ++p)
            for (int v = 0; v < kO; ++v) sum[v] += left[i + u][p] * right[o + v][p];
          for (int v = 0; v < kO; ++v) sums[(i + u) * O + o + v] = sum[v];
        }
      }
    }
  }
}

template <int R>
INLINE void AddRows(const V (*rows)[kBlocks], V* sums) {
  for (int r = 0; r < R; ++r) {
    V sum = sums[r];
    for (int p = 0; p < kBlocks; ++p) sum += rows[r][p];
    sums[r] = sum;
  }
}

// Activations of ``rows`` pre-activations in place; their slopes and curvatures where wanted.
template <int R>
INLINE void Activate(V (*z)[kBlocks], V (*slope)[kBlocks], V (*curve)[kBlocks]) {
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < kBlocks; ++p) {
      V x = z[r][p], y = Logistic(x), value = x * y, rest = 1.0f - y;
      z[r][p] = value;
      if (slope) slope[r][p] = y + value * rest;
      if (curve) curve[r][p] = y * rest * (2.0f + x * (rest - y));
    }
  }
}

// Sums of a head's gradients over the pairs of a task, lane by lane.
template <int H>
struct alignas(64) Sums {
  V w1[kMaxFeatures * H], b1[H], w2[H * H], b2[H], w3[H], b3[1];

  void Write(int features, float* out) const {
    for (int i = 0; i < features * H; ++i) *out++ = Sum(w1[i]);
    for (int i = 0; i < H; ++i) *out++ = Sum(b1[i]);
    for (int i = 0; i < H * H; ++i) *out++ = Sum(w2[i]);
    for (int i = 0; i < H; ++i) *out++ = Sum(b2[i]);
    for (int i = 0; i < H; ++i) *out++ = Sum(w3[i]);
    *out++ = Sum(b3[0]);
  }
};

template <int H>
struct Chunk {
  Rows<kMaxFeatures> x, u, x_bar;  // features, their direction, and their gradient
  Rows<1> given, given_dot, score, slope, curve, s_dot;
  Rows<H> a1, d1, c1, a2, d2, c2;  // values, slopes and curvatures of the activations
  Rows<H> t1, t2, z1_dot, z2_dot, a1_dot, a2_dot;
  Sums<H> sums;

  template <bool kSlopes, bool kCurves>
  INLINE void Forward(int features, const Weights& w) {
    Layer<H>(x.at, features, w.w1, H, 1, w.b1, a1.at);
    Activate<H>(a1.at, kSlopes ? d1.at : nullptr, kCurves ? c1.at : nullptr);
    Layer<H>(a1.at, H, w.w2, H, 1, w.b2, a2.at);
    Activate<H>(a2.at, kSlopes ? d2.at : nullptr, kCurves ? c2.at : nullptr);
    Layer<1>(a2.at, H, w.w3, 1, 1, w.b3, score.at);
    Activate<1>(score.at, kSlopes ? slope.at : nullptr, kCurves ? curve.at : nullptr);
  }

  // Adds the gradients of sum(given * score).
  template <bool kX, bool kW>
  INLINE void Pull(int features, const Weights& w) {
    Forward<true, false>(features, w);
    for (int p = 0; p < kBlocks; ++p) slope.at[0][p] *= given.at[0][p];
    for (int o = 0; o < H; ++o)
      for (int p = 0; p < kBlocks; ++p) t2.at[o][p] = w.w3[o] * slope.at[0][p] * d2.at[o][p];
    Layer<H>(t2.at, H, w.w2, 1, H, nullptr, t1.at);
    for (int o = 0; o < H; ++o)
      for (int p = 0; p < kBlocks; ++p) t1.at[o][p] *= d1.at[o][p];
    if (kW) {
      AddRows<1>(slope.at, sums.b3);
      Outer<1>(a2.at, H, slope.at, sums.w3);
      AddRows<H>(t2.at, sums.b2);
      Outer<H>(a1.at, H, t2.at, sums.w2);
      AddRows<H>(t1.at, sums.b1);
      Outer<H>(x.at, features, t1.at, sums.w1);
    }
    if (kX)
      for (int f = 0; f < features; ++f) Layer<1, true>(t1.at, H, w.w1 + f * H, 1, 1, nullptr, x_bar.at + f);
  }

  // Changes along u, slopes and, where wanted, curvatures first; s_dot is that of the last layer's
  // pre-activation.
  template <bool kCurves>
  INLINE void Along(int features, const Weights& w) {
    Forward<true, kCurves>(features, w);
    Layer<H>(u.at, features, w.w1, H, 1, nullptr, z1_dot.at);
    for (int o = 0; o < H; ++o)
      for (int p = 0; p < kBlocks; ++p) a1_dot.at[o][p] = d1.at[o][p] * z1_dot.at[o][p];
    Layer<H>(a1_dot.at, H, w.w2, H, 1, nullptr, z2_dot.at);
    for (int o = 0; o < H; ++o)
      for (int p = 0; p < kBlocks; ++p) a2_dot.at[o][p] = d2.at[o][p] * z2_dot.at[o][p];
    Layer<1>(a2_dot.at, H, w.w3, 1, 1, nullptr, s_dot.at);
  }

  INLINE void Tangent(int features, const Weights& w) {
    Along<false>(features, w);
    for (int p = 0; p < kBlocks; ++p) s_dot.at[0][p] *= slope.at[0][p];
  }

  // Adds the gradients of sum(given * s_dot + given_dot * score), s_dot the change of the score
  // along u. Second derivatives are symmetric: with given_dot the change of ``given``, they are
  // the changes of the gradients that Pull adds.
  template <bool kW>
  INLINE void PullOfPull(int features, const Weights& w) {
    Along<true>(features, w);
    for (int p = 0; p < kBlocks; ++p) {
      V z3_dot = s_dot.at[0][p], g = given.at[0][p], d = slope.at[0][p];
      s_dot.at[0][p] = d * z3_dot;
      slope.at[0][p] = g * d;                                                  // of z3_dot
      curve.at[0][p] = g * curve.at[0][p] * z3_dot + given_dot.at[0][p] * d;   // of z3
    }
    if (kW) {
      AddRows<1>(curve.at, sums.b3);
      Outer<1>(a2_dot.at, H, slope.at, sums.w3);
      Outer<1>(a2.at, H, curve.at, sums.w3);
    }
    for (int o = 0; o < H; ++o) {
      for (int p = 0; p < kBlocks; ++p) {
        V of_dot = w.w3[o] * slope.at[0][p];
        c2.at[o][p] = of_dot * c2.at[o][p] * z2_dot.at[o][p] + w.w3[o] * curve.at[0][p] * d2.at[o][p];
        d2.at[o][p] = of_dot * d2.at[o][p];
      }
    }  // d2: of z2_dot, c2: of z2
    if (kW) {
      AddRows<H>(c2.at, sums.b2);
      Outer<H>(a1_dot.at, H, d2.at, sums.w2);
      Outer<H>(a1.at, H, c2.at, sums.w2);
    }
    Layer<H>(d2.at, H, w.w2, 1, H, nullptr, t2.at);  // of a1_dot
    Layer<H>(c2.at, H, w.w2, 1, H, nullptr, t1.at);  // of a1
    for (int o = 0; o < H; ++o) {
      for (int p = 0; p < kBlocks; ++p) {
        c1.at[o][p] = t2.at[o][p] * c1.at[o][p] * z1_dot.at[o][p] + t1.at[o][p] * d1.at[o][p];
        d1.at[o][p] = t2.at[o][p] * d1.at[o][p];
      }
    }
    if (kW) {
      AddRows<H>(c1.at, sums.b1);
      Outer<H>(u.at, features, d1.at, sums.w1);
      Outer<H>(x.at, features, c1.at, sums.w1);
    }
    for (int f = 0; f < features; ++f) Layer<1, true>(c1.at, H, w.w1 + f * H, 1, 1, nullptr, x_bar.at + f);
  }
};

// Rows of (rows, pairs) from ``first`` on; beyond ``count`` pairs they are 0.
INLINE void Read(const float* from, int rows, int64_t pairs, int64_t first, int count,
                 V (*to)[kBlocks]) {
  for (int r = 0; r < rows; ++r) {
    if (count < kChunk) std::memset(to[r], 0, sizeof(to[r]));
    std::memcpy(to[r], from + r * pairs + first, count * sizeof(float));
  }
}

INLINE void Write(const V (*from)[kBlocks], int rows, int64_t pairs, int64_t first, int count,
                  float* to) {
  for (int r = 0; r < rows; ++r)
    std::memcpy(to + r * pairs + first, from[r], count * sizeof(float));
}

using Input = ffi::AnyBuffer;

struct Sizes {
  int64_t heads, features, hidden, pairs;

  int64_t weights() const { return (features + hidden + 3) * hidden + 1; }
};

enum class Kind {
  kScores,
  kPullX,
  kPullW,
  kPullAll,
  kPullOfPullX,      // of x, the weights and ``given``
  kTangent,          // of the scores along u
  kTangentOfPullX,   // of x's gradient along u and ``given_dot``
  kTangentOfPullAll  // likewise, of all gradients
};

struct Uses {
  bool given, u, given_dot, x_bar, weights_bar, scores;
};

constexpr Uses kUses[] = {
    {false, false, false, false, false, true}, {true, false, false, true, false, false},
    {true, false, false, false, true, false},  {true, false, false, true, true, false},
    {true, true, false, true, true, true},     {false, true, false, false, false, true},
    {true, true, true, true, false, false},    {true, true, true, true, true, false}};

struct Call {
  Sizes sizes;
  const float *x, *weights[6], *given, *u, *given_dot;
  float *x_bar, *weights_bar[6], *scores;
  Kind kind;
};

template <int H>
void Run(const Call& call, ffi::ThreadPool& pool) {
  const Sizes& n = call.sizes;
  const int features = static_cast<int>(n.features);
  const bool has_x = call.x_bar != nullptr, has_weights = call.weights_bar[0] != nullptr;
  const int64_t tasks = (n.pairs + kTask - 1) / kTask, numbers = n.weights();
  std::vector<float> partial(has_weights ? tasks * n.heads * numbers : 0);
  const int64_t per_head[6] = {n.features * H, H, H * H, H, H, 1};

  auto task = [&](int64_t index) {
    // Large, and needed again and again: one for each thread. Rows beyond ``features`` are unused.
    thread_local std::unique_ptr<Chunk<H>> memory(new Chunk<H>);
    Chunk<H>& chunk = *memory;
    std::memset(static_cast<void*>(&chunk.given_dot), 0, sizeof(chunk.given_dot));
    const int64_t start = index * kTask, end = std::min(n.pairs, start + kTask);
    for (int64_t h = 0; h < n.heads; ++h) {
      Weights w{call.weights[0] + h * per_head[0], call.weights[1] + h * per_head[1],
                call.weights[2] + h * per_head[2], call.weights[3] + h * per_head[3],
                call.weights[4] + h * per_head[4], call.weights[5] + h};
      if (has_weights) std::memset(static_cast<void*>(&chunk.sums), 0, sizeof(chunk.sums));
      for (int64_t first = start; first < end; first += kChunk) {
        const int count = static_cast<int>(std::min<int64_t>(kChunk, end - first));
        Read(call.x, features, n.pairs, first, count, chunk.x.at);
        if (call.given) Read(call.given + h * n.pairs, 1, n.pairs, first, count, chunk.given.at);
        if (call.given_dot)
          Read(call.given_dot + h * n.pairs, 1, n.pairs, first, count, chunk.given_dot.at);
        if (call.u) Read(call.u, features, n.pairs, first, count, chunk.u.at);
        if (has_x) {
          if (h == 0)
            std::memset(static_cast<void*>(&chunk.x_bar), 0, sizeof(chunk.x_bar));
          else
            Read(call.x_bar, features, n.pairs, first, count, chunk.x_bar.at);
        }
        switch (call.kind) {
          case Kind::kScores: chunk.template Forward<false, false>(features, w); break;
          case Kind::kPullX: chunk.template Pull<true, false>(features, w); break;
          case Kind::kPullW: chunk.template Pull<false, true>(features, w); break;
          case Kind::kPullAll: chunk.template Pull<true, true>(features, w); break;
          case Kind::kTangent: chunk.Tangent(features, w); break;
          case Kind::kTangentOfPullX: chunk.template PullOfPull<false>(features, w); break;
          case Kind::kPullOfPullX:
          case Kind::kTangentOfPullAll: chunk.template PullOfPull<true>(features, w); break;
        }
        if (call.scores) {
          auto& found = call.kind == Kind::kScores ? chunk.score : chunk.s_dot;
          Write(found.at, 1, n.pairs, first, count, call.scores + h * n.pairs);
        }
        if (has_x) Write(chunk.x_bar.at, features, n.pairs, first, count, call.x_bar);
      }
      if (has_weights) chunk.sums.Write(features, &partial[(index * n.heads + h) * numbers]);
    }
  };
  Parallel(pool, tasks, task);

  if (!has_weights) return;
  for (int64_t h = 0; h < n.heads; ++h) {
    int64_t offset = 0;
    for (int part = 0; part < 6; ++part) {
      for (int64_t i = 0; i < per_head[part]; ++i, ++offset) {
        double total = 0;
        for (int64_t t = 0; t < tasks; ++t) total += partial[(t * n.heads + h) * numbers + offset];
        call.weights_bar[part][h * per_head[part] + i] = static_cast<float>(total);
      }
    }
  }
}

// Arguments: x, six weights, then given, u and given_dot as far as the kind uses them. Results
// likewise: x's gradient, the weights', scores (or their change, or ``given``'s gradient).
ffi::Error Handle(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets,
                  int32_t kind) {
  Call call{};
  call.kind = static_cast<Kind>(kind);
  const Uses& uses = kUses[kind];
  if (args.size() != size_t(7 + uses.given + uses.u + uses.given_dot) ||
      rets.size() != size_t(uses.x_bar + 6 * uses.weights_bar + uses.scores))
    return ffi::Error::InvalidArgument("location: wrong number of arguments or results");
  size_t next = 0;
  auto input = [&]() -> const float* { return args.get<Input>(next++)->typed_data<float>(); };
  auto x = args.get<Input>(0)->dimensions(), w1 = args.get<Input>(1)->dimensions();
  call.sizes = {w1[0], w1[1], w1[2], x[1]};
  if (call.sizes.features > kMaxFeatures) return ffi::Error::InvalidArgument("location: features");
  call.x = input();
  for (auto& weight : call.weights) weight = input();
  if (uses.given) call.given = input();
  if (uses.u) call.u = input();
  if (uses.given_dot) call.given_dot = input();
  next = 0;
  auto output = [&]() -> float* { return (*rets.get<Input>(next++))->typed_data<float>(); };
  if (uses.x_bar) call.x_bar = output();
  if (uses.weights_bar)
    for (auto& weight : call.weights_bar) weight = output();
  if (uses.scores) call.scores = output();
  if (call.sizes.hidden != HIDDEN) return ffi::Error::InvalidArgument("location: hidden features");
  Run<HIDDEN>(call, pool);
  return ffi::Error::Success();
}

}  // namespace

extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* lie_jax_location(XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(lie_jax_location, Handle,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int32_t>("kind"));
