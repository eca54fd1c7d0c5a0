// Tasks on XLA's threads.

#ifndef LIE_JAX_NATIVE_PARALLEL_H_
#define LIE_JAX_NATIVE_PARALLEL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

// Runs task(i) for i < tasks on the threads of the pool and on this one. A task that waits for a
// busy pool cannot block: this thread takes all that no other has begun.
template <typename Task>
void Parallel(ffi::ThreadPool& pool, int64_t tasks, const Task& task) {
  struct State {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable all_done;
    int64_t done = 0;
  };
  auto state = std::make_shared<State>();
  const Task* shared = &task;  // not touched by a helper that finds nothing left
  auto work = [state, shared, tasks] {
    int64_t count = 0;
    for (int64_t i; (i = state->next.fetch_add(1)) < tasks; ++count) (*shared)(i);
    if (!count) return;
    std::lock_guard<std::mutex> lock(state->mutex);
    state->done += count;
    if (state->done == tasks) state->all_done.notify_one();
  };
  int64_t helpers = pool.num_threads() - 1;
  if (helpers > tasks - 1) helpers = tasks - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule([work] { work(); });
  work();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done == tasks; });
}

#endif  // LIE_JAX_NATIVE_PARALLEL_H_
