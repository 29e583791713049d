// Functions over vectors and rows of floats. Included once for each instruction set, inside its namespace.

// e^x to about one unit in the last place: x = n ln 2 + r, a polynomial for r, and n into the exponent.
INLINE F exponential(F x) {
  x = max(min(x, broadcast(88.7f)), broadcast(-103.0f));
  const F n = nearest(mul(x, broadcast(1.44269504f)));
  F r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  F p = broadcast(1.0f / 5040);
  p = fma(p, r, broadcast(1.0f / 720));
  p = fma(p, r, broadcast(1.0f / 120));
  p = fma(p, r, broadcast(1.0f / 24));
  p = fma(p, r, broadcast(1.0f / 6));
  p = fma(p, r, broadcast(0.5f));
  p = add(fma(mul(p, r), r, r), broadcast(1.0f));
  return times_power_of_two(p, n);
}
INLINE F hyperbolic_tangent(F x) {
  const F one = broadcast(1.0f), e = exponential(mul(x, broadcast(2.0f)));
  return sub(one, div(broadcast(2.0f), add(e, one)));
}
INLINE F capped(F x, float cap) { return mul(broadcast(cap), hyperbolic_tangent(div(x, broadcast(cap)))); }

INLINE F activated(F x, int kind) {
  const F one = broadcast(1.0f), half = broadcast(0.5f);
  switch (kind) {
    case SILU:
      return div(x, add(one, exponential(sub(zero(), x))));
    case GELU_TANH: {
      const F cubed = mul(mul(x, x), x);
      const F inner = mul(broadcast(0.7978845608f), fma(cubed, broadcast(0.044715f), x));
      return mul(mul(half, x), add(one, hyperbolic_tangent(inner)));
    }
    case GELU: {
      alignas(64) float v[W];
      store(v, x);
      for (float& each : v) each = 0.5f * each * (1.0f + erff(each * 0.70710678f));
      return load(v);
    }
    case RELU:
      return max(x, zero());
    default: {
      const F kept = max(x, zero());
      return mul(kept, kept);
    }
  }
}

// out = x / root mean square (or standard deviation, centred) * weight + bias. Lanes beyond `width` become zero.
static void normalise(const float* x, int width, const Norm& norm, bool layer_norm, float eps, float* out) {
  const int whole = width / W * W;
  float mean = 0.0f;
  if (layer_norm) {
    F s = zero();
    for (int i = 0; i < whole; i += W) s = add(s, load(x + i));
    mean = sum(s);
    for (int i = whole; i < width; i++) mean += x[i];
    mean /= static_cast<float>(width);
  }
  F s = zero();
  const F centre = broadcast(mean);
  for (int i = 0; i < whole; i += W) {
    const F d = sub(load(x + i), centre);
    s = fma(d, d, s);
  }
  float squares = sum(s);
  for (int i = whole; i < width; i++) squares += (x[i] - mean) * (x[i] - mean);
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
  for (int i = 0; i < whole; i += W) {
    F y = mul(sub(load(x + i), centre), broadcast(scale));
    if (norm.weight) y = mul(y, load(norm.weight + i));
    store(out + i, norm.bias ? add(y, load(norm.bias + i)) : y);
  }
  for (int i = whole; i < width; i++) {
    float y = (x[i] - mean) * scale;
    if (norm.weight) y *= norm.weight[i];
    out[i] = norm.bias ? y + norm.bias[i] : y;
  }
}

// Integers from -127 to 127 with one scale for each group of 32. `x` is padded with zeros to whole groups.
static void to_integers(const Rows& to, int width) {
  const float* x = to.x;
  int8_t* q = to.q;
  for (int g = 0; g * GROUP < width; g++, x += GROUP, q += GROUP) {
    F most = absolute(load(x));
    for (int i = W; i < GROUP; i += W) most = max(most, absolute(load(x + i)));
    const float extreme = largest(most);
    const F inverse = broadcast(extreme > 0.0f ? 127.0f / extreme : 0.0f);
    F s[2] = {zero(), zero()};
    for (int i = 0; i < GROUP; i += W) {
      const F whole = nearest(mul(load(x + i), inverse));
      store_bytes(q + i, whole);
      s[i / 16] = add(s[i / 16], whole);  // whole numbers below 2^24: exact in any order
    }
    const float first = sum(s[0]), second = sum(s[1]);
    to.scale[g] = extreme / 127.0f;
    to.whole[g] = to.scale[g] * (first + second);
    to.sum[g] = static_cast<int32_t>(first + second);
    to.sum16[2 * g] = static_cast<int32_t>(first);
    to.sum16[2 * g + 1] = static_cast<int32_t>(second);
  }
}

// Pairs (i, i + half) turned by their angles.
static void turn(float* x, int half, const float* cosines, const float* sines) {
  for (int i = 0; i < half; i++) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cosines[i] - b * sines[i];
    x[i + half] = b * cosines[i] + a * sines[i];
  }
}
