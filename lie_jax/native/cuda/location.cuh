// The location MLP of every head at every pair of points, and its gradients, on an NVIDIA GPU.
//
//   score = act(w3 . act(W2^T act(W1^T x + b1) + b2) + b3),   act = swish,
//
// with x a pair's features and 16 hidden features per layer; arrays as in ../location.cc: x (F, P),
// W1 (heads, F, 16), scores (heads, P), float32. A warp works on 16 pairs of a head at a time. Forward
// their hidden features never leave its registers: what one product of matrices leaves in a thread is
// what the next one wants there, if the summed index runs in another order (see `AsFactor`). Factors
// are sums of two numbers of TensorFloat-32, of whose four products the smallest is left out: errors
// are a few times those of float32. NaN travels in the larger one.

#pragma once

#include <cstdint>

#include <warp.cuh>

namespace location {

constexpr int kHidden = 16;
constexpr int kTile = 16;  // pairs
constexpr int kWarps = 4;  // of a block

// A block's share of the gradients of the weights, one array behind the other, of F features.
struct Places {
  int b1, w2, b2, w3, b3, size;  // w1 begins at 0
  DEVICE explicit Places(int features)
      : b1(features * kHidden),
        w2(b1 + kHidden),
        b2(w2 + kHidden * kHidden),
        w3(b2 + kHidden),
        b3(w3 + kHidden),
        size(b3 + 1) {}
};

struct Weights {
  const float *w1, *b1, *w2, *b2, *w3, *b3;  // of all heads

  DEVICE Weights OfHead(int head, int features) const {
    return {w1 + head * features * kHidden, b1 + head * kHidden,
            w2 + head * kHidden * kHidden,  b2 + head * kHidden,
            w3 + head * kHidden,            b3 + head};
  }
};

// --- Matrices in a warp, g = lane / 4, t = lane % 4 ---------------------------------------------

// (16, 16) as what `warp::Multiply` gives: at[j] are the columns from 8j on.
struct Matrix {
  float at[2][4];
};

// The two parts of factors, large and small.
struct Left {
  uint32_t large[4], small[4];
};
struct Right {
  uint32_t large[2], small[2];
};

DEVICE void Split(float x, uint32_t& large, uint32_t& small) {
  large = warp::Bits(x) & 0xffffe000u;  // the bits that the product looks at
  // What is left, rounded to them: a half is added. A number above any float is not met here.
  small = warp::Bits(x - warp::Number(large)) + 0x1000u;
}

DEVICE Right Splitted(float first, float second) {
  Right b;
  Split(first, b.large[0], b.small[0]);
  Split(second, b.large[1], b.small[1]);
  return b;
}

DEVICE Left Splitted(float a0, float a1, float a2, float a3) {
  Left a;
  Split(a0, a.large[0], a.small[0]);
  Split(a1, a.large[1], a.small[1]);
  Split(a2, a.large[2], a.small[2]);
  Split(a3, a.large[3], a.small[3]);
  return a;
}

DEVICE void Multiply(float (&c)[4], const Left& a, const Right& b) {
  warp::Multiply(c, a.small, b.large);
  warp::Multiply(c, a.large, b.small);
  warp::Multiply(c, a.large, b.large);
}

// Columns 8s to 8s + 7 as a left factor whose column t is 2t of them, t + 4 is 2t + 1.
DEVICE Left AsFactor(const Matrix& x, int s) {
  return Splitted(x.at[s][0], x.at[s][2], x.at[s][1], x.at[s][3]);
}

// Rows of ``w`` for it: b(k, n) = w[k * rows + n * columns], k in that order and n from 8j on.
DEVICE Right AsPartner(const float* w, int rows, int columns, int s, int j) {
  const int g = warp::Lane() / 4, t = warp::Lane() % 4, k = 8 * s + 2 * t, n = 8 * j + g;
  return Splitted(w[k * rows + n * columns], w[(k + 1) * rows + n * columns]);
}

DEVICE float Sigmoid(float x) { return warp::Reciprocal(1 + warp::Exp2(x * -1.4426950408889634f)); }

// Of two numbers by one division; 2^60 is not infinite, squared neither.
DEVICE void Sigmoids(float x, float y, float& of_x, float& of_y) {
  // Of a NaN and a number fminf gives the number: NaN comes back with the factor x of swish.
  const float least = -41.5f;  // 2^-60 about
  const float a = 1 + warp::Exp2(fminf(x * -1.4426950408889634f, 60.0f));
  const float b = 1 + warp::Exp2(fminf(y * -1.4426950408889634f, 60.0f));
  const float inverse = warp::Reciprocal(a * b);
  of_x = x < least ? 0.0f : inverse * b;
  of_y = y < least ? 0.0f : inverse * a;
}

// The derivative of swish, from its argument and the logistic function of that.
DEVICE float Slope(float x, float sigmoid) { return sigmoid * (1 + x * (1 - sigmoid)); }

// --- The network, forward ------------------------------------------------------------------------

// A head's weights as factors, and what is added. kSteps: eights of features.
template <int kSteps>
struct Network {
  Right w1[kSteps][2], w2[2][2];
  float b1[2][2], b2[2][2], w3[2][2], b3;  // of columns 8j + 2t and 8j + 2t + 1

  DEVICE Network(const Weights& w, int features) {
    const int g = warp::Lane() / 4, t = warp::Lane() % 4;
    for (int s = 0; s < kSteps; ++s)
      for (int j = 0; j < 2; ++j) {
        const int k = 8 * s + t, n = 8 * j + g;
        w1[s][j] = Splitted(k < features ? w.w1[k * kHidden + n] : 0.0f,
                            k + 4 < features ? w.w1[(k + 4) * kHidden + n] : 0.0f);
      }
    for (int s = 0; s < 2; ++s)
      for (int j = 0; j < 2; ++j) w2[s][j] = AsPartner(w.w2, kHidden, 1, s, j);
    for (int j = 0; j < 2; ++j)
      for (int c = 0; c < 2; ++c) {
        const int n = 8 * j + 2 * t + c;
        b1[j][c] = w.b1[n];
        b2[j][c] = w.b2[n];
        w3[j][c] = w.w3[n];
      }
    b3 = w.b3[0];
  }

  // Features of the 16 pairs from ``first`` on as left factors; beyond the last pair 0.
  DEVICE void Read(const float* x, int features, int64_t pairs, int64_t first,
                   Left (&found)[kSteps]) const {
    const int g = warp::Lane() / 4, t = warp::Lane() % 4;
    const bool has_low = first + g < pairs, has_high = first + g + 8 < pairs;
    for (int s = 0; s < kSteps; ++s) {
      const int k = 8 * s + t;
      const float* low = x + k * pairs + first + g;
      const float* high = low + 4 * pairs;
      const bool here = k < features, there = k + 4 < features;
      found[s] = Splitted(here && has_low ? low[0] : 0.0f, here && has_high ? low[8] : 0.0f,
                          there && has_low ? high[0] : 0.0f, there && has_high ? high[8] : 0.0f);
    }
  }

  // Arguments of the first activation.
  DEVICE Matrix First(const Left (&x)[kSteps]) const {
    Matrix z;
    for (int j = 0; j < 2; ++j) {
      for (int c = 0; c < 4; ++c) z.at[j][c] = b1[j][c % 2];
      for (int s = 0; s < kSteps; ++s) Multiply(z.at[j], x[s], w1[s][j]);
    }
    return z;
  }

  // Arguments of the second one.
  DEVICE Matrix Second(const Matrix& hidden) const {
    const Left left[2] = {AsFactor(hidden, 0), AsFactor(hidden, 1)};
    Matrix z;
    for (int j = 0; j < 2; ++j) {
      for (int c = 0; c < 4; ++c) z.at[j][c] = b2[j][c % 2];
      for (int s = 0; s < 2; ++s) Multiply(z.at[j], left[s], w2[s][j]);
    }
    return z;
  }

  // Argument of the last one: of pair g where t is even, of g + 8 where it is odd.
  DEVICE float Last(const Matrix& hidden) const {
    float low = 0, high = 0;
    for (int j = 0; j < 2; ++j)
      for (int c = 0; c < 2; ++c) {
        low += hidden.at[j][c] * w3[j][c];
        high += hidden.at[j][c + 2] * w3[j][c];
      }
    low += warp::FromXor(low, 1);
    low += warp::FromXor(low, 2);
    high += warp::FromXor(high, 1);
    high += warp::FromXor(high, 2);
    return (warp::Lane() % 2 ? high : low) + b3;
  }
};

// The pair of which this thread has a number, one of a tile's 16; threads of even t have g.
DEVICE int OwnPair() { return warp::Lane() / 4 + 8 * (warp::Lane() % 2); }
// Two threads have the same one; this one speaks for it.
DEVICE bool Speaks() { return warp::Lane() % 4 < 2; }

DEVICE Matrix Swish(const Matrix& z) {
  Matrix h;
  for (int j = 0; j < 2; ++j)
    for (int c = 0; c < 4; c += 2) {
      float first, second;
      Sigmoids(z.at[j][c], z.at[j][c + 1], first, second);
      h.at[j][c] = z.at[j][c] * first;
      h.at[j][c + 1] = z.at[j][c + 1] * second;
    }
  return h;
}

// The same and the slopes there, in place of the arguments.
DEVICE Matrix SwishAndSlope(Matrix& z) {
  Matrix h;
  for (int j = 0; j < 2; ++j)
    for (int c = 0; c < 4; c += 2) {
      float sigmoid[2];
      Sigmoids(z.at[j][c], z.at[j][c + 1], sigmoid[0], sigmoid[1]);
      for (int i = 0; i < 2; ++i) {
        h.at[j][c + i] = z.at[j][c + i] * sigmoid[i];
        z.at[j][c + i] = Slope(z.at[j][c + i], sigmoid[i]);
      }
    }
  return h;
}

template <int kSteps>
__global__ void __launch_bounds__(32 * kWarps, 5)
    Scores(const float* x, Weights weights, float* scores, int features, int64_t pairs) {
  const Network<kSteps> net(weights.OfHead(blockIdx.y, features), features);
  scores += blockIdx.y * pairs;
  const int64_t step = int64_t{kTile} * kWarps * gridDim.x;
  const int64_t start = int64_t{kTile} * (kWarps * blockIdx.x + warp::Index());
  for (int64_t first = start; first < pairs; first += step) {
    Left inputs[kSteps];
    net.Read(x, features, pairs, first, inputs);
    const Matrix h1 = Swish(net.First(inputs));
    const Matrix h2 = Swish(net.Second(h1));
    const float z3 = net.Last(h2);
    const int64_t pair = first + OwnPair();
    if (Speaks() && pair < pairs) scores[pair] = z3 * Sigmoid(z3);
  }
}

// --- Backward ------------------------------------------------------------------------------------

// What a head's gradients need besides.
struct Back {
  Right w2[2][2];  // transposed

  DEVICE explicit Back(const Weights& w) {
    for (int s = 0; s < 2; ++s)
      for (int j = 0; j < 2; ++j) w2[s][j] = AsPartner(w.w2, 1, kHidden, s, j);
  }

  DEVICE Matrix Times(const Matrix& change) const {
    const Left left[2] = {AsFactor(change, 0), AsFactor(change, 1)};
    Matrix found = {};
    for (int j = 0; j < 2; ++j)
      for (int s = 0; s < 2; ++s) Multiply(found.at[j], left[s], w2[s][j]);
    return found;
  }
};

// Cotangent of the own pair's last argument.
DEVICE float PullLast(float z3, const float* cotangent, int64_t pairs, int64_t first) {
  const int64_t pair = first + OwnPair();
  const float given = pair < pairs ? cotangent[pair] : 0.0f;
  return given * Slope(z3, Sigmoid(z3));
}

// Cotangents of the second activation's arguments, given its slopes.
template <int kSteps>
DEVICE Matrix PullSecond(const Network<kSteps>& net, const Matrix& slope, float low, float high) {
  Matrix found;
  for (int j = 0; j < 2; ++j)
    for (int c = 0; c < 4; ++c)
      found.at[j][c] = (c < 2 ? low : high) * net.w3[j][c % 2] * slope.at[j][c];
  return found;
}

// The network's hidden features for a tile, and the cotangents on the way back to its second layer.
struct Pass {
  Matrix slope1, h1, h2, dz2;
  float dz3, low, high;  // of the own pair's last argument, and of those of pairs g and g + 8

  template <int kSteps>
  DEVICE Pass(const Network<kSteps>& net, const Left (&inputs)[kSteps], const float* cotangent,
              int64_t pairs, int64_t first) {
    const int g = warp::Lane() / 4;
    slope1 = net.First(inputs);
    h1 = SwishAndSlope(slope1);
    Matrix slope2 = net.Second(h1);
    h2 = SwishAndSlope(slope2);
    dz3 = PullLast(net.Last(h2), cotangent, pairs, first);
    low = warp::From(dz3, 4 * g);
    high = warp::From(dz3, 4 * g + 1);
    dz2 = PullSecond(net, slope2, low, high);
  }
};

DEVICE void Scale(Matrix& x, const Matrix& by) {
  for (int j = 0; j < 2; ++j)
    for (int c = 0; c < 4; ++c) x.at[j][c] *= by.at[j][c];
}

// A warp's memory in which a matrix is turned: (16, 16), rows apart so that no two threads meet.
constexpr int kRow = 20;
constexpr int kTurned = kTile * kRow;

// Left factors of the transposed matrix: of pairs 0 to 7, and of 8 to 15.
DEVICE void Turn(const Matrix& x, float* memory, Left (&found)[2]) {
  const int g = warp::Lane() / 4, t = warp::Lane() % 4;
  warp::Sync();  // what was read from it before
  for (int j = 0; j < 2; ++j)
    for (int c = 0; c < 4; ++c)
      memory[(8 * j + 2 * t + c % 2) * kRow + g + 8 * (c / 2)] = x.at[j][c];
  warp::Sync();
  for (int s = 0; s < 2; ++s) {
    const float* at = memory + g * kRow + 8 * s + t;
    found[s] = Splitted(at[0], at[8 * kRow], at[4], at[8 * kRow + 4]);
  }
}

// The same numbers as right factors: of columns 0 to 7 (j = 0) or 8 to 15 of the matrix.
DEVICE Right AsRight(const Left& turned, int j) {
  return {{turned.large[j], turned.large[j + 2]}, {turned.small[j], turned.small[j + 2]}};
}

// Adds up the threads of the same t.
DEVICE float SumOverPairs(float x) {
  x += warp::FromXor(x, 4);
  x += warp::FromXor(x, 8);
  x += warp::FromXor(x, 16);
  return x;
}

// Every block's share (heads, blocks, `Places`) of the gradients of the weights.
template <int kSteps>
__global__ void __launch_bounds__(32 * kWarps, 3)
    PullWeights(const float* x, Weights weights, const float* cotangent, float* shares,
                int features, int64_t pairs) {
  __shared__ float turning[kWarps][kTurned];
  __shared__ float total[16 * kHidden + kHidden + kHidden * kHidden + 2 * kHidden + 1];
  float* memory = turning[warp::Index()];
  const int g = warp::Lane() / 4, t = warp::Lane() % 4;
  const Weights of_head = weights.OfHead(blockIdx.y, features);
  const Network<kSteps> net(of_head, features);
  const Back back(of_head);
  cotangent += blockIdx.y * pairs;

  float dw1[kSteps][4] = {};  // transposed
  Matrix dw2 = {};
  float db1[2][2] = {}, db2[2][2] = {}, dw3[2][2] = {}, db3 = 0;
  const int64_t step = int64_t{kTile} * kWarps * gridDim.x;
  const int64_t start = int64_t{kTile} * (kWarps * blockIdx.x + warp::Index());
  for (int64_t first = start; first < pairs; first += step) {
    Left inputs[kSteps];
    net.Read(x, features, pairs, first, inputs);
    const Pass pass(net, inputs, cotangent, pairs, first);
    const Matrix &h2 = pass.h2, &dz2 = pass.dz2;
    db3 += pass.dz3;
    for (int j = 0; j < 2; ++j)
      for (int c = 0; c < 2; ++c) {
        dw3[j][c] += pass.low * h2.at[j][c] + pass.high * h2.at[j][c + 2];
        db2[j][c] += dz2.at[j][c] + dz2.at[j][c + 2];
      }
    Matrix dz1 = back.Times(dz2);
    Scale(dz1, pass.slope1);
    for (int j = 0; j < 2; ++j)
      for (int c = 0; c < 2; ++c) db1[j][c] += dz1.at[j][c] + dz1.at[j][c + 2];

    Left turned_h1[2], turned_dz2[2];
    Turn(pass.h1, memory, turned_h1);
    Turn(dz2, memory, turned_dz2);
    for (int s = 0; s < 2; ++s)
      for (int j = 0; j < 2; ++j) Multiply(dw2.at[j], turned_h1[s], AsRight(turned_dz2[s], j));
    Left turned_dz1[2];
    Turn(dz1, memory, turned_dz1);
    for (int s = 0; s < 2; ++s)
      for (int i = 0; i < kSteps; ++i) {
        const int64_t pair = first + 8 * s + t;
        const float* at = x + (8 * i + g) * pairs + pair;
        const bool here = 8 * i + g < features;
        Multiply(dw1[i], turned_dz1[s],
                 Splitted(here && pair < pairs ? at[0] : 0.0f,
                          here && pair + 4 < pairs ? at[4] : 0.0f));
      }
  }

  // The warps one after the other, so that sums have one order.
  const Places places(features);
  db3 = Speaks() ? db3 : 0.0f;
  db3 = SumOverPairs(db3);
  db3 += warp::FromXor(db3, 1);
  for (int j = 0; j < 2; ++j)
    for (int c = 0; c < 2; ++c) {
      db1[j][c] = SumOverPairs(db1[j][c]);
      db2[j][c] = SumOverPairs(db2[j][c]);
      dw3[j][c] = SumOverPairs(dw3[j][c]);
    }
  for (int i = threadIdx.x; i < places.size; i += 32 * kWarps) total[i] = 0;
  for (int turn = 0; turn < kWarps; ++turn) {
    warp::SyncBlock();
    if (turn != warp::Index()) continue;
    for (int j = 0; j < 2; ++j)
      for (int c = 0; c < 4; ++c)
        total[places.w2 + (g + 8 * (c / 2)) * kHidden + 8 * j + 2 * t + c % 2] += dw2.at[j][c];
    for (int i = 0; i < kSteps; ++i)
      for (int c = 0; c < 4; ++c) {
        const int f = 8 * i + 2 * t + c % 2;
        if (f < features) total[f * kHidden + g + 8 * (c / 2)] += dw1[i][c];
      }
    if (g == 0)
      for (int j = 0; j < 2; ++j)
        for (int c = 0; c < 2; ++c) {
          const int n = 8 * j + 2 * t + c;
          total[places.b1 + n] += db1[j][c];
          total[places.b2 + n] += db2[j][c];
          total[places.w3 + n] += dw3[j][c];
        }
    if (warp::Lane() == 0) total[places.b3] += db3;
  }
  warp::SyncBlock();
  shares += (int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * places.size;
  for (int i = threadIdx.x; i < places.size; i += 32 * kWarps) shares[i] = total[i];
}

// Gradients of the features (F, P): the sum over heads.
template <int kSteps>
__global__ void __launch_bounds__(32 * kWarps, 3)
    PullFeatures(const float* x, Weights weights, const float* cotangent, float* gradient,
                 int heads, int features, int64_t pairs) {
  const int g = warp::Lane() / 4, t = warp::Lane() % 4;
  const int64_t step = int64_t{kTile} * kWarps * gridDim.x;
  const int64_t start = int64_t{kTile} * (kWarps * blockIdx.x + warp::Index());
  for (int64_t first = start; first < pairs; first += step) {
    float found[kSteps][4] = {};
    for (int head = 0; head < heads; ++head) {
      const Weights of_head = weights.OfHead(head, features);
      const Network<kSteps> net(of_head, features);
      Left inputs[kSteps];
      net.Read(x, features, pairs, first, inputs);
      const Pass pass(net, inputs, cotangent + head * pairs, pairs, first);
      Matrix dz1 = Back(of_head).Times(pass.dz2);
      Scale(dz1, pass.slope1);
      for (int s = 0; s < 2; ++s) {
        const Left left = AsFactor(dz1, s);
        for (int i = 0; i < kSteps; ++i) {
          const int f = 8 * i + g, k = 8 * s + 2 * t;
          const float* w = of_head.w1 + f * kHidden + k;
          const bool here = f < features;
          Multiply(found[i], left, Splitted(here ? w[0] : 0.0f, here ? w[1] : 0.0f));
        }
      }
    }
    for (int i = 0; i < kSteps; ++i)
      for (int c = 0; c < 4; ++c) {
        const int f = 8 * i + 2 * t + c % 2;
        const int64_t pair = first + g + 8 * (c / 2);
        if (f < features && pair < pairs) gradient[f * pairs + pair] = found[i][c];
      }
  }
}

}  // namespace location
