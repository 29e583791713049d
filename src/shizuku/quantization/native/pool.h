// Threads that work together inside one call and sleep between calls.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

inline void pause_once() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Pool {
 public:
  explicit Pool(int threads) : size_(threads) {
    try {
      for (int t = 1; t < threads; t++) workers_.emplace_back([this, t] { work(t); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pool() { stop(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }

  // Runs `job(thread)` on every thread, the caller being thread 0, and returns when all are done.
  void run(const std::function<void(int)>& job) {
    job_ = &job;
    {
      std::lock_guard<std::mutex> hold(mutex_);
      call_.fetch_add(1, std::memory_order_release);
    }
    if (asleep_.load() > 0) wake_.notify_all();
    job(0);
    barrier();
  }

  // Returns when every thread of the running call has come here. Who waits long lets others run.
  void barrier() {
    if (size_ == 1) return;
    const unsigned phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; spins++) {
      if (spins < SPINS) {
        pause_once();
      } else {
        std::this_thread::yield();
      }
    }
  }

 private:
  static constexpr int SPINS = 1000;
  static constexpr int WAITS = 4000;

  void work(int thread) {
    unsigned seen = 0;
    for (;;) {
      // The next step of a generation follows within a fraction of a millisecond: look for it before sleeping.
      for (int waits = 0; waits < WAITS && call_.load(std::memory_order_acquire) == seen; waits++) {
        if (waits % 64 == 63) {
          std::this_thread::yield();
        } else {
          pause_once();
        }
      }
      if (call_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> hold(mutex_);
        asleep_.fetch_add(1);
        wake_.wait(hold, [&] { return call_.load(std::memory_order_acquire) != seen; });
        asleep_.fetch_sub(1);
      }
      seen++;
      if (stopping_) return;
      (*job_)(thread);
      barrier();
    }
  }

  void stop() {
    {
      std::lock_guard<std::mutex> hold(mutex_);
      stopping_ = true;
      call_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  const int size_;
  std::vector<std::thread> workers_;
  const std::function<void(int)>* job_ = nullptr;
  bool stopping_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> asleep_{0};
  alignas(64) std::atomic<unsigned> call_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
};
