// What the 32 threads of a warp do together. tests/native/emulated/ has the same for a CPU.

#pragma once

#include <cstdint>

#define DEVICE __device__ __forceinline__

namespace warp {

DEVICE int Lane() { return threadIdx.x & 31; }
DEVICE int Index() { return threadIdx.x >> 5; }

DEVICE void Sync() { __syncwarp(); }
DEVICE void SyncBlock() { __syncthreads(); }

DEVICE float From(float x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
DEVICE float FromXor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }

// To 2 units in the last place; of large arguments 0 or infinity.
DEVICE float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// To 1 unit in the last place.
DEVICE float Reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

DEVICE uint32_t Bits(float x) { return __float_as_uint(x); }
DEVICE float Number(uint32_t x) { return __uint_as_float(x); }

// c (16, 8) += a (16, 8) b (8, 8), factors in TensorFloat-32: 13 of their 32 bits are not looked at.
// With g = lane / 4 and t = lane % 4 a thread has of
//   a  (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)
//   b  (t, g), (t + 4, g)
//   c  (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
DEVICE void Multiply(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  // Volatile: all threads must come here together, so it must not move into a branch.
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace warp
