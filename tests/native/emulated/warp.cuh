// lie_jax/native/cuda/warp.cuh for a CPU: a thread of the system for every thread of a block, which
// wait for each other wherever the threads of a warp exchange numbers.

#pragma once

#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#define DEVICE inline
#define __global__
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other

struct Dim {
  int64_t x = 0, y = 0, z = 0;
};
inline thread_local Dim threadIdx, blockIdx, gridDim;

namespace warp {

struct Exchange {
  std::barrier<> all{32};
  float numbers[32];
  uint32_t left[32][4], right[32][2];
};
inline std::vector<std::unique_ptr<Exchange>> exchanges;
inline std::unique_ptr<std::barrier<>> block;

inline int Lane() { return threadIdx.x & 31; }
inline int Index() { return threadIdx.x >> 5; }
inline Exchange& Mine() { return *exchanges[Index()]; }

inline void Sync() { Mine().all.arrive_and_wait(); }
inline void SyncBlock() { block->arrive_and_wait(); }

inline float From(float x, int lane) {
  Mine().numbers[Lane()] = x;
  Sync();
  const float found = Mine().numbers[lane];
  Sync();
  return found;
}
inline float FromXor(float x, int mask) { return From(x, Lane() ^ mask); }

inline float Exp2(float x) { return std::exp2(x); }
inline float Reciprocal(float x) { return 1 / x; }
// A GPU knows one NaN.
inline uint32_t Bits(float x) { return std::isnan(x) ? 0x7fffffffu : std::bit_cast<uint32_t>(x); }
inline float Number(uint32_t x) { return std::bit_cast<float>(x); }

inline void Multiply(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Exchange& mine = Mine();
  for (int i = 0; i < 4; ++i) mine.left[Lane()][i] = a[i] & 0xffffe000u;
  for (int i = 0; i < 2; ++i) mine.right[Lane()][i] = b[i] & 0xffffe000u;
  Sync();
  const int g = Lane() / 4, t = Lane() % 4;
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 8; ++k) {
      const int row = g + 8 * (i / 2), column = 2 * t + i % 2;
      const uint32_t x = mine.left[4 * (row % 8) + k % 4][row / 8 + 2 * (k / 4)];
      const uint32_t y = mine.right[4 * column + k % 4][k / 4];
      c[i] += Number(x) * Number(y);
    }
  Sync();
}

// kernel(arguments...) for every thread of every block.
template <typename Kernel, typename... Arguments>
void Run(Kernel kernel, Dim grid, int threads, Arguments... arguments) {
  block = std::make_unique<std::barrier<>>(threads);
  exchanges.clear();
  for (int i = 0; i < threads / 32; ++i) exchanges.push_back(std::make_unique<Exchange>());
  for (int64_t y = 0; y < grid.y; ++y)
    for (int64_t x = 0; x < grid.x; ++x) {
      std::vector<std::thread> all;
      for (int i = 0; i < threads; ++i)
        all.emplace_back([=] {
          gridDim = grid;
          blockIdx = {x, y, 0};
          threadIdx = {i, 0, 0};
          kernel(arguments...);
        });
      for (auto& one : all) one.join();
    }
}

}  // namespace warp
