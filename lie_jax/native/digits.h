// Numbers as three digits, whole numbers from -127 to 127, four in a word:
//
//   x = u (d0 + d1 / 254 + d2 / 254^2),   u = the row's largest magnitude / 127
//
// so that x is off by 2^-24 of the row's largest at most (of A's row, of B's column). Products of
// digits are added up exactly. Of the nine the three smallest, below 2^-24 of the first, are left
// out.
//
// After Ootomo, Ozaki, Yokota, "DGEMM on integer matrix multiplication unit", arXiv:2306.11975, who
// make float64 of more digits.

#ifndef LIE_JAX_NATIVE_DIGITS_H_
#define LIE_JAX_NATIVE_DIGITS_H_

#include <limits>

#include "tiles.h"

#ifdef HAS_TILES
namespace tiles {

struct Digits {
  static constexpr int kParts = 3, kDepth = 64;  // tiles of a step along k, and its numbers
  static constexpr float kLargest = 127.0f, kBase = 2 * kLargest;

  // u and its inverse of rows, of whose magnitudes, as bits, the largest are given; NaN if one of
  // the row is not finite. Where all are smaller, u is that of 2^-110: its inverse is finite.
  static void Unit(__m512i largest, __mmask16 rows, float* unit, float* inverse) {
    const __mmask16 is_finite = _mm512_cmplt_epi32_mask(largest, _mm512_set1_epi32(0x7f800000));
    const __m512 nan = _mm512_set1_ps(std::numeric_limits<float>::quiet_NaN());
    const __m512 least = _mm512_set1_ps(0x1p-110f);
    const __m512 x = _mm512_mask_max_ps(nan, is_finite, _mm512_castsi512_ps(largest), least);
    _mm512_mask_storeu_ps(unit, rows, _mm512_mul_ps(x, _mm512_set1_ps(1 / kLargest)));
    _mm512_mask_storeu_ps(inverse, rows, _mm512_div_ps(_mm512_set1_ps(kLargest), x));
  }

  // As bits: so NaN is larger than infinity, and infinity than all else.
  static __m512i Larger(__m512i largest, __m512 x) {
    const __m512i sign = _mm512_set1_epi32(0x7fffffff);
    return _mm512_max_epi32(largest, _mm512_and_si512(_mm512_castps_si512(x), sign));
  }

  static void UnitOfRow(const Factor& from, int64_t row, int64_t k, int64_t steps, float* unit,
                        float* inverse) {
    __m512i largest = _mm512_setzero_si512();
    const int64_t count = steps * kDepth / 16;
    const int64_t whole = k + (row < from.size ? from.Whole(k, 16, count) : 0) * 16;
    for (int64_t i = k; i < whole; i += 16) {
      from.FetchAlongK(row, i);
      largest = Larger(largest, from.AlongK<true>(row, i));
    }
    if (whole < k + count * 16) largest = Larger(largest, from.AlongK<false>(row, whole));
    Unit(_mm512_set1_epi32(_mm512_reduce_max_epi32(largest)), 1, unit, inverse);
  }

  static void UnitsOfRows(const Factor& from, int64_t row, int64_t strips, int64_t k, int64_t steps,
                          float* unit, float* inverse) {
    __m512i largest[kSome];
    for (auto& x : largest) x = _mm512_setzero_si512();
    for (int64_t end = std::min(k + steps * kDepth, from.depth); k < end; ++k)
      for (int64_t i = 0; i < strips; ++i) {
        from.FetchAlongRows(row + i * kSide, k);
        largest[i] = Larger(largest[i], from.AlongRows<false>(row + i * kSide, k));
      }
    for (int64_t i = 0; i < strips; ++i)
      Unit(largest[i], 0xffff, unit + i * kSide, inverse + i * kSide);
  }

  // The digits of four times sixteen numbers, as bytes that ``order`` puts into words.
  template <typename Order>
  static void Split(__m512 (&x)[4], __m512 inverse, Word* to, const Order& order) {
    __m512i digits[4];
    for (int part = 0; part < kParts; ++part) {
      const __m512 by = part ? _mm512_set1_ps(kBase) : inverse;
      for (int i = 0; i < 4; ++i) {
        digits[i] = _mm512_cvtps_epi32(_mm512_mul_ps(x[i], by));
        x[i] = _mm512_fmsub_ps(x[i], by, _mm512_cvtepi32_ps(digits[i]));
      }
      const __m512i low = _mm512_packs_epi32(digits[0], digits[1]);
      const __m512i high = _mm512_packs_epi32(digits[2], digits[3]);
      _mm512_store_si512(to + part * kTile, order(_mm512_packs_epi16(low, high)));
    }
  }

  template <bool kWhole>
  static void StepAlongK(const Factor& from, int64_t row, int64_t k, Word* to,
                         const float* inverse) {
    __m512 x[4];
    for (int i = 0; i < 4; ++i) x[i] = from.AlongK<kWhole>(row, k + 16 * i);
    const auto places = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    Split(x, _mm512_set1_ps(*inverse), to,
          [&](__m512i bytes) { return _mm512_permutexvar_epi32(places, bytes); });
  }

  template <bool kWhole>
  static void WordAlongRows(const Factor& from, int64_t row, int64_t k, Word* to,
                            const float* inverse) {
    __m512 x[4];
    for (int i = 0; i < 4; ++i) x[i] = from.AlongRows<kWhole>(row, k + i);
    const auto places = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    Split(x, _mm512_loadu_ps(inverse), to,
          [&](__m512i bytes) { return _mm512_shuffle_epi8(bytes, places); });
  }

  // The small products first, then the large ones: one sum more at a time would be slower, see
  // rounded.h, and so would one less, which loads more.
  static void Multiply(const Word* a, const Word* b, int64_t steps, const float* a_unit,
                       const float* b_unit, bool is_first, const Place& place) {
    alignas(64) int32_t x[3][kSide * kSide];
    _tile_zero(0);
    _tile_zero(1);
    for (int64_t s = 0; s < steps; ++s) {
      const Word *of_a = a + s * kParts * kTile, *of_b = b + s * kParts * kTile;
      _tile_loadd(2, of_a + 2 * kTile, 64);
      _tile_loadd(3, of_b, 64);
      _tile_dpbssd(0, 2, 3);
      _tile_loadd(2, of_a + kTile, 64);
      _tile_dpbssd(1, 2, 3);
      _tile_loadd(3, of_b + kTile, 64);
      _tile_dpbssd(0, 2, 3);
      _tile_loadd(2, of_a, 64);
      _tile_dpbssd(1, 2, 3);
      _tile_loadd(3, of_b + 2 * kTile, 64);
      _tile_dpbssd(0, 2, 3);
    }
    _tile_stored(0, x[2], 64);
    _tile_stored(1, x[1], 64);
    _tile_zero(0);
    _tile_zero(1);
    for (int64_t s = 0; s < steps; ++s) {
      _tile_loadd(2, a + s * kParts * kTile, 64);
      _tile_loadd(3, b + s * kParts * kTile, 64);
      _tile_dpbssd(0, 2, 3);
    }
    _tile_stored(0, x[0], 64);
    const __m512 base = _mm512_set1_ps(1 / kBase), columns = _mm512_loadu_ps(b_unit);
    place.Write(is_first, [&](int64_t i) {
      __m512 sum = _mm512_setzero_ps();
      for (int part = kParts - 1; part >= 0; --part) {
        const __m512i digits = _mm512_load_si512(x[part] + i * kSide);
        sum = _mm512_fmadd_ps(sum, base, _mm512_cvtepi32_ps(digits));
      }
      // One after the other: the product of two small units would be zero.
      return _mm512_mul_ps(_mm512_mul_ps(sum, columns), _mm512_set1_ps(a_unit[i]));
    });
  }
};

}  // namespace tiles
#endif
#endif  // LIE_JAX_NATIVE_DIGITS_H_
