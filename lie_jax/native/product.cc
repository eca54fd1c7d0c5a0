// Products of matrices by units that multiply tiles of small numbers.
//
//   C (n, o) = A (n, k) B (k, o),   A stored as (k, n) if it is turned, B as (o, k)
//
// All are float32; inside, factors are rounded to bfloat16, or three digits as good as float32.

#include <algorithm>
#include <atomic>
#include <vector>

#include "digits.h"
#include "parallel.h"
#include "rounded.h"

// Whether there is code for this processor, and it may be used.
extern "C" __attribute__((visibility("default"))) int32_t lie_jax_product_is_there() {
#ifdef HAS_TILES
  return tiles::AreThere();
#else
  return 0;
#endif
}

#ifdef HAS_TILES
namespace tiles {
namespace {

// Of a strip at most so many tiles are packed at a time, so that one of A and one of B stay in the
// first cache; of strips of A so many bytes, so that they stay in the second.
constexpr int64_t kTiles = 24;
constexpr int64_t kBytes = 1 << 19;

// Of ``count`` strips the tiles of some steps along k: strip by strip, step by step, part by part;
// zeros beyond the last numbers.
template <typename Form>
void Pack(const Factor& from, int64_t first, int64_t count, int64_t step, int64_t steps, Word* to,
          float* unit) {
  const int64_t strip = steps * Form::kParts * kTile, k = step * Form::kDepth, row = first * kSide;
  float inverse[kSome * kSide];
  if (from.k_inside) {
    for (int64_t i = 0; i < count * kSide; ++i) {
      Form::UnitOfRow(from, row + i, k, steps, unit + i, inverse + i);
      Word* words = to + i / kSide * strip + i % kSide * kSide;
      const int64_t whole = row + i < from.size ? from.Whole(k, Form::kDepth, steps) : 0;
      for (int64_t s = 0; s < steps; ++s, words += Form::kParts * kTile) {
        const int64_t here = k + s * Form::kDepth;
        if (s < whole) {
          Form::template StepAlongK<true>(from, row + i, here, words, inverse + i);
        } else {
          Form::template StepAlongK<false>(from, row + i, here, words, inverse + i);
        }
      }
    }
  } else {
    constexpr int kLong = Form::kDepth / kSide;  // numbers in a word
    Form::UnitsOfRows(from, row, count, k, steps, unit, inverse);
    const bool are_inside = row + count * kSide <= from.size;
    const int64_t whole = are_inside ? from.Whole(k, kLong, steps * kSide) : 0;
    for (int64_t word = 0; word < steps * kSide; ++word) {
      Word* words = to + word / kSide * Form::kParts * kTile + word % kSide * kSide;
      const int64_t here = k + word * kLong;
      for (int64_t i = 0; i < count * kSide; i += kSide, words += strip) {
        if (word < whole) {
          Form::template WordAlongRows<true>(from, row + i, here, words, inverse + i);
        } else {
          Form::template WordAlongRows<false>(from, row + i, here, words, inverse + i);
        }
      }
    }
  }
  if (from.k_inside == from.rows_first) return;
  for (Word* end = to + count * strip; to < end; to += kTile) Transpose(to);
}

// Threads take units, some rows by 64 columns of C, until there are none. A thread packs what it
// needs itself, rows of A once for all their units that it takes: to share them cost more than to
// pack them twice, and another thread may be busy or slow.
template <typename Form>
ffi::Error Product(ffi::ThreadPool& pool, const Factor& left, const Factor& right, float* out) {
  const int64_t n = left.size, o = right.size, rows = left.Strips(), columns = right.Strips();
  const int64_t all_steps = (left.depth + Form::kDepth - 1) / Form::kDepth;
  const int64_t most_steps = std::min(kTiles / Form::kParts, all_steps);
  const int64_t longest = most_steps * Form::kParts * kTile;  // words of a packed strip
  const int64_t threads = pool.num_threads(), across = (columns + kSome - 1) / kSome;
  const int64_t most_rows = std::min<int64_t>(kBytes / (sizeof(Word) * longest),
                                              (rows * across + threads - 1) / threads);
  const int64_t down = (rows + most_rows - 1) / most_rows, units = down * across;
  std::atomic<int64_t> next = 0;
  std::atomic<bool> is_short = false;
  Parallel(pool, std::min(threads, units), [&](int64_t) {
    const int64_t strips = most_rows + kSome;
    Word* const a = Scratch(strips * (longest + kSide));
    if (!a) {
      is_short = true;
      return;
    }
    Word* const b = a + most_rows * longest;
    float* const a_unit = reinterpret_cast<float*>(a + strips * longest);
    float* const b_unit = a_unit + most_rows * kSide;
    std::vector<int64_t> taken;
    for (int64_t step = 0; step < all_steps; step += most_steps) {
      const int64_t steps = std::min(most_steps, all_steps - step);
      const int64_t strip = steps * Form::kParts * kTile;
      int64_t packed = -1;
      for (size_t count = 0;; ++count) {
        if (!step) taken.push_back(next.fetch_add(1));
        if (count == taken.size() || taken[count] >= units) break;
        const int64_t y = taken[count] / across, i0 = rows * y / down, i1 = rows * (y + 1) / down;
        const int64_t j0 = taken[count] % across * kSome, j1 = std::min(j0 + kSome, columns);
        for (int64_t i = i0; i < i1 && packed != y; i += kSome)
          Pack<Form>(left, i, std::min(kSome, i1 - i), step, steps, a + (i - i0) * strip,
                     a_unit + (i - i0) * kSide);
        packed = y;
        Pack<Form>(right, j0, j1 - j0, step, steps, b, b_unit);
        for (int64_t j = j0; j < j1; ++j) {
          // Anew for each: a thread that had to wait for the processor gets all registers back as
          // ones that hold something, and goes on at half the speed.
          const Tiles registers;
          for (int64_t i = i0; i < i1; ++i)
            Form::Multiply(a + (i - i0) * strip, b + (j - j0) * strip, steps,
                           a_unit + (i - i0) * kSide, b_unit + (j - j0) * kSide, !step,
                           {out + i * kSide * o + j * kSide, n - i * kSide, o - j * kSide, o});
        }
      }
    }
  });
  if (is_short) return ffi::Error(ffi::ErrorCode::kResourceExhausted, "product: out of memory");
  return ffi::Error::Success();
}

}  // namespace
}  // namespace tiles
#endif

namespace {

ffi::Error Handle(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> left, ffi::Buffer<ffi::F32> right,
                  ffi::Result<ffi::Buffer<ffi::F32>> out, int32_t turn_left, int32_t turn_right,
                  int32_t rounded) {
  const auto a = left.dimensions(), b = right.dimensions(), c = out->dimensions();
  if (a.size() != 2 || b.size() != 2 || c.size() != 2)
    return ffi::Error::InvalidArgument("product: factors must be matrices");
  const int64_t n = a[turn_left ? 1 : 0], k = a[turn_left ? 0 : 1], o = b[turn_right ? 0 : 1];
  if (b[turn_right ? 1 : 0] != k || c[0] != n || c[1] != o)
    return ffi::Error::InvalidArgument("product: shapes that do not fit");
  float* z = out->typed_data();
  if (!k) std::fill(z, z + n * o, 0.0f);
  if (!n || !k || !o) return ffi::Error::Success();
#ifdef HAS_TILES
  const tiles::Factor x{left.typed_data(), n, k, !turn_left, true};
  const tiles::Factor y{right.typed_data(), o, k, static_cast<bool>(turn_right), false};
  return rounded ? tiles::Product<tiles::Rounded>(pool, x, y, z)
                 : tiles::Product<tiles::Digits>(pool, x, y, z);
#else
  return ffi::Error::InvalidArgument("product: no code for this processor");
#endif
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
                                  .Attr<int32_t>("turn_right")
                                  .Attr<int32_t>("rounded"));
