"""Exact exp and log by mpmath, from inputs as they are rounded; slow, and by other formulas."""

import mpmath as mp
import numpy as np

mp.mp.dps = 50


def expm(matrix: np.ndarray) -> np.ndarray:
    """exp of one matrix whose entries are taken as exact."""
    return _array(mp.expm(mp.matrix(matrix.tolist())))


def _array(matrix) -> np.ndarray:
    return np.array(matrix.tolist(), dtype=object)


def _mp(values) -> list:
    return [mp.mpf(float(v)) for v in np.asarray(values, np.float64)]


def log_so2(g) -> list[list]:
    c, s = _mp(g)
    return _branches(mp.atan2(s, c), lambda angle: [angle])


def log_rxso2(g) -> list[list]:
    x, y = _mp(g)
    return _branches(mp.atan2(y, x), lambda angle: [mp.log(mp.hypot(x, y)), angle])


def log_se2(g) -> list[list]:
    c, s, x, y = _mp(g)

    def result(angle):
        half = angle / 2
        k = half * mp.cot(half) if angle else mp.mpf(1)
        return [angle, k * x + half * y, k * y - half * x]

    return _branches(mp.atan2(s, c), result)


def _branches(angle, result) -> list[list]:
    """The result for the angle, and for the other angle where rounding could mean either."""
    out = [result(angle)]
    if mp.pi - abs(angle) < 1e-6:
        out.append(result(angle - mp.sign(angle) * 2 * mp.pi))
    return out


def _rotation_vectors(q) -> list[list]:
    w, *v = _mp(q)
    if w < 0:
        w, v = -w, [-x for x in v]
    norm = mp.sqrt(sum(x * x for x in v))
    if norm == 0:
        return [[mp.mpf(0)] * 3]
    angle = 2 * mp.atan2(norm, w)
    out = [[angle * x / norm for x in v]]
    if mp.pi - angle < 1e-6:
        out.append([(angle - 2 * mp.pi) * x / norm for x in v])
    return out


def log_so3(q) -> list[list]:
    return _rotation_vectors(q)


def log_se3(g) -> list[list]:
    t = _mp(g[4:])
    return [[*omega, *_inverse_v(omega, t)] for omega in _rotation_vectors(g[:4])]


def _cross(a, b) -> list:
    return [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]


def _inverse_v(omega, t) -> list:
    angle2 = sum(x * x for x in omega)
    if angle2 == 0:
        return t
    angle = mp.sqrt(angle2)
    factor = (1 - angle / 2 * mp.cot(angle / 2)) / angle2
    once = _cross(omega, t)
    twice = _cross(omega, once)
    return [x - a / 2 + factor * b for x, a, b in zip(t, once, twice, strict=True)]


LOGS = {"SO2": log_so2, "RxSO2": log_rxso2, "SE2": log_se2, "SO3": log_so3, "SE3": log_se3}


def ulps(got: np.ndarray, exact: list, dtype) -> float:
    """Largest error in units of the last place of the exact result's largest entry."""
    got, flat = np.ravel(got), np.ravel(np.array(exact, dtype=object))
    scale = max(abs(x) for x in flat)
    unit = (
        mp.mpf(float(np.finfo(dtype).eps)) * scale if scale else mp.mpf(float(np.finfo(dtype).tiny))
    )
    error = max(abs(mp.mpf(float(a)) - b) for a, b in zip(got, flat, strict=True))
    return float(error / unit)
