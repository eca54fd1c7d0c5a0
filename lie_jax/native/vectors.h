// Vectors as wide as the processor's: of wider ones compilers make long and slow code.

#ifndef LIE_JAX_NATIVE_VECTORS_H_
#define LIE_JAX_NATIVE_VECTORS_H_

// kSide x kSide vectors of sums, and what is added to them, fit in the registers together.
#if defined(__AVX512F__)
constexpr int kLanes = 16, kSide = 4;
#elif defined(__AVX__)
constexpr int kLanes = 8, kSide = 2;
#elif defined(__aarch64__)
constexpr int kLanes = 4, kSide = 4;
#else
constexpr int kLanes = 4, kSide = 2;
#endif

typedef float V __attribute__((vector_size(4 * kLanes)));

#endif  // LIE_JAX_NATIVE_VECTORS_H_
