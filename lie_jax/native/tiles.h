// The units of a processor that multiply tiles of 16 rows of 64 bytes, and matrices cut into tiles.

#ifndef LIE_JAX_NATIVE_TILES_H_
#define LIE_JAX_NATIVE_TILES_H_

#if defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__AVX512BF16__) && \
    defined(__AVX512BW__) && defined(__linux__)
#define HAS_TILES 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace tiles {

using Word = uint32_t;  // two or four numbers that are neighbours along k

constexpr int kSide = 16;          // rows of a tile, and columns of a tile of C
constexpr int kTile = kSide * 16;  // words

// Strips, 16 rows of A or 16 columns of B, are packed by so many: neighbours in memory are read
// together.
constexpr int64_t kSome = 4;

// Linux gives a process the tiles' registers when it asks for them.
inline bool AreThere() {
  return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */) == 0;
}

// The registers, all zero, while there is one of these.
struct Tiles {
  Tiles() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, unused[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    Written();
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }

  // Before tiles are read: GCC does not know that their instructions read memory.
  static void Written() { asm volatile("" ::: "memory"); }
};

inline __mmask16 First(int64_t count) {
  return count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}

// A factor as it is stored: ``size`` rows of A or columns of B, each of ``depth`` numbers along k.
struct Factor {
  const float* numbers;
  int64_t size, depth;
  bool k_inside;    // numbers along k are neighbours in memory; else those along the other axis
  bool rows_first;  // tiles have a row for each row, as A's; else one for each word along k, as B's

  int64_t Strips() const { return (size + kSide - 1) / kSide; }

  // How many of ``count`` times ``step`` numbers from ``k`` on have no end in them.
  int64_t Whole(int64_t k, int64_t step, int64_t count) const {
    return std::clamp<int64_t>((depth - k) / step, 0, count);
  }

  // Sixteen neighbours in memory: of a row along k, or of rows at one k. Unless they are known to
  // be there, with zeros beyond the last.
  template <bool kWhole>
  __m512 AlongK(int64_t row, int64_t k) const {
    const float* from = numbers + row * depth + k;
    if constexpr (kWhole) return _mm512_loadu_ps(from);
    return _mm512_maskz_loadu_ps(row < size ? First(depth - k) : 0, from);
  }
  template <bool kWhole>
  __m512 AlongRows(int64_t row, int64_t k) const {
    const float* from = numbers + k * size + row;
    if constexpr (kWhole) return _mm512_loadu_ps(from);
    return _mm512_maskz_loadu_ps(k < depth ? First(size - row) : 0, from);
  }

  // Fetches what will be read some rows after these. Rows are far apart, or begin on another page:
  // the processor does not fetch them ahead by itself.
  void FetchAlongK(int64_t row, int64_t k) const {
    _mm_prefetch(numbers + std::min(row + 2, size - 1) * depth + k, _MM_HINT_T0);
  }
  void FetchAlongRows(int64_t row, int64_t k) const {
    _mm_prefetch(numbers + std::min(k + 32, depth - 1) * size + row, _MM_HINT_T0);
  }
};

// A tile of C, or the part of it that is inside.
struct Place {
  float* first;
  int64_t rows, columns, stride;

  // Adds sums(row), or puts them there.
  template <typename Sums>
  void Write(bool is_first, const Sums& sums) const {
    const __mmask16 inside = First(columns);
    for (int64_t i = 0; i < std::min<int64_t>(rows, kSide); ++i) {
      float* to = first + i * stride;
      const __m512 before = is_first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(inside, to);
      _mm512_mask_storeu_ps(to, inside, _mm512_add_ps(sums(i), before));
    }
  }
};

// Rows of 16 words become columns.
inline void Transpose(Word* tile) {
  __m512i x[kSide], y[kSide];
  for (int i = 0; i < kSide; ++i) x[i] = _mm512_load_si512(tile + i * kSide);
  for (int i = 0; i < kSide; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < kSide; i += 4)
    for (int j = 0; j < 2; ++j) {
      x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
      x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
    }
  for (int i = 0; i < 4; ++i)
    for (int half = 0; half < 2; ++half) {
      const __m512i a = x[8 * half + i], b = x[8 * half + 4 + i];
      y[8 * half + i] = _mm512_shuffle_i32x4(a, b, 0x88);
      y[8 * half + 4 + i] = _mm512_shuffle_i32x4(a, b, 0xdd);
    }
  for (int i = 0; i < 8; ++i) {
    _mm512_store_si512(tile + i * kSide, _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88));
    _mm512_store_si512(tile + (i + 8) * kSide, _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd));
  }
}

// Memory of this thread for so many words; null if there is none.
inline Word* Scratch(int64_t words) {
  thread_local std::unique_ptr<Word, decltype(&std::free)> memory(nullptr, &std::free);
  thread_local int64_t size = 0;
  if (size < words) {
    memory.reset(static_cast<Word*>(std::aligned_alloc(64, (4 * words + 63) / 64 * 64)));
    size = memory ? words : 0;
  }
  return memory.get();
}

}  // namespace tiles

#endif
#endif  // LIE_JAX_NATIVE_TILES_H_
