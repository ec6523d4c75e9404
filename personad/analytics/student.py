"""Student's t distribution, without a library of statistics that a daemon would have to load."""

import functools
import math

_STEPS_MAX = 200
_PRECISION = 1e-13


def student_t_share(value: float, freedom: float) -> float:
    """The share of Student's t below a value (Abramowitz and Stegun 26.7.1, 26.5.8)."""
    tail = _beta_share(freedom / 2, 0.5, freedom / (freedom + value * value)) / 2
    return 1 - tail if value > 0 else tail


@functools.lru_cache(maxsize=4_096)
def student_t(probability: float, freedom: float) -> float:
    """The quantile that `student_t_share` takes back, of a probability within 0 and 1."""
    if probability < 0.5:
        return -student_t(1 - probability, freedom)
    found = 0.0
    # Newton's way, which from the left never goes too far: the density falls from the middle on.
    for _ in range(_STEPS_MAX):
        lacking = probability - student_t_share(found, freedom)
        step = lacking / _density(found, freedom)
        found += max(0.0, step)
        if step <= found * _PRECISION:
            break
    return found


def _density(value: float, freedom: float) -> float:
    log_front = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    log_front -= math.log(freedom * math.pi) / 2
    return math.exp(log_front - (freedom + 1) / 2 * math.log1p(value * value / freedom))


def _beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function."""
    if not 0 < x < 1:
        return float(x >= 1)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Its continued fraction, from the front (Lentz's way)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d, c = 1 / (1 + step * d), 1 + step / c
            found *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return found
