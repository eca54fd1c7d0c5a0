// Numbers rounded to bfloat16, two in a word; their products are added up in float32.

#ifndef LIE_JAX_NATIVE_ROUNDED_H_
#define LIE_JAX_NATIVE_ROUNDED_H_

#include "tiles.h"

#ifdef HAS_TILES
namespace tiles {

struct Rounded {
  static constexpr int kParts = 1, kDepth = 32;  // tiles of a step along k, and its numbers

  static void UnitOfRow(const Factor&, int64_t, int64_t, int64_t, float*, float*) {}
  static void UnitsOfRows(const Factor&, int64_t, int64_t, int64_t, int64_t, float*, float*) {}

  template <bool kWhole>
  static void StepAlongK(const Factor& from, int64_t row, int64_t k, Word* to, const float*) {
    from.FetchAlongK(row, k);
    from.FetchAlongK(row, k + 16);
    const __m512 low = from.AlongK<kWhole>(row, k), high = from.AlongK<kWhole>(row, k + 16);
    _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }

  template <bool kWhole>
  static void WordAlongRows(const Factor& from, int64_t row, int64_t k, Word* to, const float*) {
    from.FetchAlongRows(row, k);
    from.FetchAlongRows(row, k + 1);
    const auto low = (__m256i)_mm512_cvtneps_pbh(from.AlongRows<kWhole>(row, k));
    const auto high = (__m256i)_mm512_cvtneps_pbh(from.AlongRows<kWhole>(row, k + 1));
    const __m512i shifted = _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
    _mm512_store_si512(to, _mm512_or_si512(_mm512_cvtepu16_epi32(low), shifted));
  }

  // Loads both tiles for each product. Tiles of A and B kept for several products of them would
  // load half as much; but the more registers hold something the slower they all are: twice with
  // eight, on a Sapphire Rapids.
  static void Multiply(const Word* a, const Word* b, int64_t steps, const float*, const float*,
                       bool is_first, const Place& place) {
    alignas(64) float x[kSide * kSide];
    _tile_zero(0);
    for (int64_t s = 0; s < steps; ++s, a += kTile, b += kTile) {
      _tile_loadd(1, a, 64);
      _tile_loadd(2, b, 64);
      _tile_dpbf16ps(0, 1, 2);
    }
    _tile_stored(0, x, 64);
    place.Write(is_first, [&](int64_t i) { return _mm512_load_ps(x + i * kSide); });
  }
};

}  // namespace tiles
#endif
#endif  // LIE_JAX_NATIVE_ROUNDED_H_
