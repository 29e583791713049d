// Everything that is compiled once for each instruction set. SHIZUKU_SET is the namespace it stands in.
//
// A vector has W lanes. `F` are floats, `I` 32-bit integers, `Quads` four neighbouring bytes of each of W rows.
// PANEL rows of activations go through a product at once, FLOAT_PANEL through one of floats, QUERIES queries
// through attention. `Sum4` gathers products of unsigned numbers below 16 with signed bytes over one group of 32,
// `Sum8` those of signed bytes. With SHORT_SUMS a `Sum4` has 16 bits, enough for just that; with OFFSET_BYTES
// weights lie in their tiles 128 higher, because the processor multiplies unsigned by signed.
#include "vector_math.h"
#include "formats.h"
#include "multiply.h"
#include "attention.h"
#include "step.h"
