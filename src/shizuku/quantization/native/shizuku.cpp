// The native library: one translation unit, a plain C interface, no dependency but the C++ library.
//
// Kernels are compiled for every instruction set of the architecture and chosen when a model is made.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "model.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#endif
#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#define TARGET_TEXT(x) #x
#define BEGIN_TARGET(x) _Pragma(TARGET_TEXT(clang attribute push(__attribute__((target(x))), apply_to = function)))
#define END_TARGET _Pragma("clang attribute pop")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define TARGET_TEXT(x) #x
#define BEGIN_TARGET(x) _Pragma("GCC push_options") _Pragma(TARGET_TEXT(GCC target(x)))
#define END_TARGET _Pragma("GCC pop_options")
#endif

#if defined(__aarch64__) && !defined(__clang__)
// GCC 12 for ARM vectorises something of this path wrongly (seen under emulation); `neon` is what ARM uses.
#pragma GCC push_options
#pragma GCC optimize("no-tree-vectorize")
#endif
#define SHIZUKU_SET portable
#define SHIZUKU_NAME "portable"
namespace portable {
#include "vector_portable.h"
#include "kernels.h"
}  // namespace portable
#undef SHIZUKU_SET
#undef SHIZUKU_NAME
#if defined(__aarch64__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#if defined(__x86_64__)

BEGIN_TARGET("avx2,fma,f16c")
#define SHIZUKU_SET avx2
#define SHIZUKU_NAME "avx2"
namespace avx2 {
#include "vector_avx2.h"
#include "kernels.h"
}  // namespace avx2
#undef SHIZUKU_SET
#undef SHIZUKU_NAME
END_TARGET

BEGIN_TARGET("avx2,fma,f16c,avxvnni")
#define SHIZUKU_SET avxvnni
#define SHIZUKU_NAME "avxvnni"
#define SHIZUKU_VNNI
namespace avxvnni {
#include "vector_avx2.h"
#include "kernels.h"
}  // namespace avxvnni
#undef SHIZUKU_VNNI
#undef SHIZUKU_SET
#undef SHIZUKU_NAME
END_TARGET

BEGIN_TARGET("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#define SHIZUKU_SET avx512
#define SHIZUKU_NAME "avx512"
namespace avx512 {
#include "vector_avx512.h"
#include "kernels.h"
}  // namespace avx512
#undef SHIZUKU_SET
#undef SHIZUKU_NAME
END_TARGET

#elif defined(__aarch64__)

#define SHIZUKU_SET neon
#define SHIZUKU_NAME "neon"
namespace neon {
#include "vector_neon.h"
#include "kernels.h"
}  // namespace neon
#undef SHIZUKU_SET
#undef SHIZUKU_NAME

#if defined(__clang__)
BEGIN_TARGET("dotprod")
#else
BEGIN_TARGET("arch=armv8.2-a+dotprod")
#endif
#define SHIZUKU_SET neon_dot
#define SHIZUKU_NAME "neon_dot"
#define SHIZUKU_DOT
namespace neon_dot {
#include "vector_neon.h"
#include "kernels.h"
}  // namespace neon_dot
#undef SHIZUKU_DOT
#undef SHIZUKU_SET
#undef SHIZUKU_NAME
END_TARGET

#endif

#include "interface.h"
