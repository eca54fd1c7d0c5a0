// Products of matrices by units that multiply numbers of bfloat16 and add up in float32.
//
//   C (n, o) = A (n, k) B (k, o),   A stored as (k, n) if it is turned, B as (o, k)
//
// All are float32; the factors are rounded on the way into tiles of 16 x 32 numbers, in the order in
// which the units read them. XLA's own code has rounded factors written to memory before.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "parallel.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__linux__)
#define HAS_CODE 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

// Whether there is code for this processor, and it may be used.
extern "C" __attribute__((visibility("default"))) int32_t lie_jax_product_is_there() {
#ifdef HAS_CODE
  // Linux gives a process the tiles' registers when it asks for them.
  return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */) == 0;
#else
  return 0;
#endif
}

namespace {

constexpr int kSide = 16;               // rows of a tile, and columns of a tile of C
constexpr int kDepth = 32;              // of k in a tile of a factor
constexpr int kWords = kDepth / 2;      // a word is two numbers, next to each other along k
constexpr int kTile = kSide * kWords;   // words
constexpr int kPanel = 2 * kSide;       // rows of A, or columns of B, packed and multiplied together

#ifdef HAS_CODE

using Word = uint32_t;

// Rows of 16 words become columns.
void Transpose(__m512i (&x)[kSide]) {
  __m512i y[kSide];
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
    x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
    x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
  }
}

// Sixteen numbers rounded to bfloat16, in the lower halves of words.
__m512i Rounded(__m512 x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)); }

__mmask16 First(int64_t count) {
  return count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}

// A factor as it is stored: ``size`` rows of A or columns of B, each of ``depth`` numbers along k.
struct Factor {
  const float* numbers;
  int64_t size, depth;
  bool k_inside;    // numbers along k are neighbours in memory; else those along the other axis
  bool rows_first;  // tiles have a row for each row, as A's; else one for each word along k, as B's

  int64_t Panels() const { return (size + kPanel - 1) / kPanel; }
  int64_t Steps() const { return (depth + kDepth - 1) / kDepth; }
  int64_t PanelSize() const { return Steps() * 2 * kTile; }

  // The tile of 16 rows from ``row`` and 32 numbers from ``k`` on; zeros beyond the last ones.
  void PackTile(int64_t row, int64_t k, Word* to) const {
    const int64_t rows = size - row, numbers_left = depth - k;
    __m512i words[kSide];
    for (int i = 0; i < kSide; ++i) words[i] = _mm512_setzero_si512();
    if (k_inside) {
      for (int i = 0; i < std::min<int64_t>(kSide, rows); ++i) {
        const float* from = numbers + (row + i) * depth + k;
        const __m512 low = _mm512_maskz_loadu_ps(First(numbers_left), from);
        const __m512 high = _mm512_maskz_loadu_ps(First(numbers_left - 16), from + 16);
        words[i] = (__m512i)_mm512_cvtne2ps_pbh(high, low);
      }
    } else {
      for (int i = 0; i < kDepth; ++i) {
        if (i >= numbers_left || rows <= 0) break;
        const float* from = numbers + (k + i) * size + row;
        // The next tile's: rows this far apart are not fetched ahead by the processor.
        if (i + kDepth < numbers_left) _mm_prefetch(from + kDepth * size, _MM_HINT_T0);
        const __m512i x = Rounded(_mm512_maskz_loadu_ps(First(rows), from));
        words[i / 2] = _mm512_or_si512(words[i / 2], i % 2 ? _mm512_slli_epi32(x, 16) : x);
      }
    }
    if (k_inside != rows_first) Transpose(words);
    for (int i = 0; i < kSide; ++i) _mm512_store_si512(to + i * kSide, words[i]);
  }

  // ``count`` panels, side by side, so that rows that are neighbours in memory are read together:
  // of each panel two tiles for every 32 numbers along k.
  void Pack(int64_t first, int64_t count, Word* to) const {
    for (int64_t step = 0; step < Steps(); ++step)
      for (int64_t i = 0; i < 2 * count; ++i)
        PackTile(first * kPanel + i * kSide, step * kDepth,
                 to + i / 2 * PanelSize() + (2 * step + i % 2) * kTile);
  }
};

using Memory = std::unique_ptr<Word, decltype(&std::free)>;

Memory Allocate(int64_t words) {
  return Memory(static_cast<Word*>(std::aligned_alloc(64, 4 * words)), &std::free);
}

// Before tiles are read: GCC does not know that their instructions read memory.
inline void Written() { asm volatile("" ::: "memory"); }

// c, four tiles (0, 0), (0, 1), (1, 0), (1, 1), is the product of two panels.
void Multiply(const Word* a, const Word* b, int64_t steps, float* c) {
  Written();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t step = 0; step < steps; ++step) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + kTile, 64);
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    a += 2 * kTile;
    b += 2 * kTile;
  }
  _tile_stored(0, c, 64);
  _tile_stored(1, c + 256, 64);
  _tile_stored(2, c + 512, 64);
  _tile_stored(3, c + 768, 64);
}

struct Tiles {  // the processor's registers for them, while there is one of these
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
};

ffi::Error Product(ffi::ThreadPool& pool, const Factor& left, const Factor& right, float* out) {
  const int64_t n = left.size, o = right.size;
  constexpr int64_t kSome = 2;  // panels of a task
  const int64_t columns = (right.Panels() + kSome - 1) / kSome;
  // Of more threads than there are tasks, some pack the same panels of B and share those of A.
  const int64_t shares = std::clamp<int64_t>(pool.num_threads() / columns, 1, left.Panels());
  const Memory a = Allocate(left.Panels() * left.PanelSize());
  const Memory b = Allocate(columns * shares * kSome * right.PanelSize());
  if (!a || !b) return ffi::Error(ffi::ErrorCode::kResourceExhausted, "product: out of memory");
  Parallel(pool, (left.Panels() + kSome - 1) / kSome, [&](int64_t task) {
    const int64_t first = task * kSome;
    left.Pack(first, std::min(kSome, left.Panels() - first), a.get() + first * left.PanelSize());
  });
  // Panels of B are packed when they are needed: one thread reads memory, another multiplies.
  Parallel(pool, columns * shares, [&](int64_t number) {
    const int64_t task = number / shares, share = number % shares;
    const int64_t count = std::min(kSome, right.Panels() - task * kSome);
    Word* packed = b.get() + number * kSome * right.PanelSize();
    right.Pack(task * kSome, count, packed);
    const Tiles tiles;
    for (int64_t i = share; i < left.Panels(); i += shares)
      for (int64_t j = 0; j < count; ++j) {
        alignas(64) float c[kPanel * kPanel];
        Multiply(a.get() + i * left.PanelSize(), packed + j * right.PanelSize(), left.Steps(), c);
        const int64_t column = (task * kSome + j) * kPanel;
        for (int row = 0; row < std::min<int64_t>(kPanel, n - i * kPanel); ++row)
          for (int side = 0; side < 2; ++side) {
            const float* from = c + (row / kSide * 2 + side) * 256 + row % kSide * kSide;
            float* to = out + (i * kPanel + row) * o + column + side * kSide;
            _mm512_mask_storeu_ps(to, First(o - column - side * kSide), _mm512_load_ps(from));
          }
      }
  });
  return ffi::Error::Success();
}

#endif  // HAS_CODE

ffi::Error Handle(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> left, ffi::Buffer<ffi::F32> right,
                  ffi::Result<ffi::Buffer<ffi::F32>> out, int32_t turn_left, int32_t turn_right) {
  const auto a = left.dimensions(), b = right.dimensions(), c = out->dimensions();
  if (a.size() != 2 || b.size() != 2 || c.size() != 2)
    return ffi::Error::InvalidArgument("product: factors must be matrices");
  const int64_t n = a[turn_left ? 1 : 0], k = a[turn_left ? 0 : 1], o = b[turn_right ? 0 : 1];
  if (b[turn_right ? 1 : 0] != k || c[0] != n || c[1] != o)
    return ffi::Error::InvalidArgument("product: shapes that do not fit");
  float* z = out->typed_data();
  if (!k) std::fill(z, z + n * o, 0.0f);
  if (!n || !k || !o) return ffi::Error::Success();
#ifdef HAS_CODE
  return Product(pool, {left.typed_data(), n, k, !turn_left, true},
                 {right.typed_data(), o, k, static_cast<bool>(turn_right), false}, z);
#endif
  return ffi::Error::InvalidArgument("product: no code for this processor");
}

}  // namespace

extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* lie_jax_product(
    XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(lie_jax_product, Handle,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<int32_t>("turn_left")
                                  .Attr<int32_t>("turn_right"));
