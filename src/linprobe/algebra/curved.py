"""The second-order model of a data loss, image by image, with |W|, and the plain form of the descent on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.shapes import Floats

__all__ = ["CurvedModel", "krylov", "sweep"]

HALVINGS = 6
"""Halvings, at most, of a step of conjugate gradients that does not decrease the model."""

MOST_FACTORED = 128
"""Nonzero weights of a class, at most, whose curvature is factored to precondition conjugate gradients; for more, the
diagonal is used. A factor takes their cube / 3 operations: 1 ms."""


@dataclass(frozen=True)
class CurvedModel:
    """A model of an objective around weights W_0, of n features of N images and K classes.

        slope·D + 1/2 sum_i ds_i·H_i ds_i + 1/2 ridge W² + 1/2 damp D² + size |W|,   D = W - W_0,   ds_i = D x_i

    with H_i = diag(d_i) - v_i w_iᵀ - w_i v_iᵀ, K x K. Only entries (i, k) that have curvature are listed, by class.
    W has a row for the bias below those of the features, whose x is 1, without ridge and size.

    Attributes:
        X: (n, N) float32 or float64, feature by feature.
        ends: (K + 1,) entries ends[k]..ends[k + 1] - 1 are those of class k.
        image: (P,) the image of each entry, ascending within a class.
        d, v, w: (P,) float64.
        slope: (n + 1, K) float64, of the data loss at W_0.
        curvatures: (n, K) float64, the second derivative of the model in each weight.
        inverse: (K, K) float64, the inverse of that in the bias.
        ridge, size: of W² and |W|.
        damp: (n + 1,) float64.
        start: (n + 1, K) float64, W_0.
        W: (n + 1, K) float64, in place: where to begin, and what is found.
        z: (P,) float64, in place: ds of each entry.
        c, e: (N,) float64, in place: v_i·ds_i and w_i·ds_i.
    """

    X: npt.NDArray[Any]
    ends: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]
    d: Floats
    v: Floats
    w: Floats
    slope: Floats
    curvatures: Floats
    inverse: Floats
    ridge: float
    size: float
    damp: Floats
    start: Floats
    W: Floats
    z: Floats
    c: Floats
    e: Floats

    def entries(self, k: int) -> slice:
        """Those of class k."""
        return slice(int(self.ends[k]), int(self.ends[k + 1]))

    def slopes(self, z: Floats, c: Floats, e: Floats) -> Floats:
        """H ds of each entry, (P,)."""
        return self.d * z - self.v * e[self.image] - self.w * c[self.image]

    def value(self, z: Floats, c: Floats, e: Floats) -> float:
        """The model at W, less its value at W_0, with these z, c and e."""
        D = self.W - self.start
        linear = float((self.slope * D).sum()) + self.size * float(
            np.abs(self.W[:-1]).sum() - np.abs(self.start[:-1]).sum()
        )
        quadratic = float((self.damp[:, None] * D * D).sum()) + self.ridge * float(
            np.square(self.W[:-1]).sum() - np.square(self.start[:-1]).sum()
        )
        return linear + 0.5 * (quadratic + float((self.d * z * z).sum()) - 2.0 * float(c @ e))


def sweep(model: CurvedModel, everything: bool) -> float:
    """Each weight to its own minimum in turn, or each that is not 0; the largest change of a slope is returned."""
    W, n, largest = model.W, len(model.X), 0.0
    K = W.shape[1]

    def move(k: int, change: Floats | float) -> None:
        part = model.entries(k)
        model.z[part] += change
        model.c[model.image[part]] += model.v[part] * change
        model.e[model.image[part]] += model.w[part] * change

    slopes = model.slopes(model.z, model.c, model.e)
    bias = model.slope[n] + model.damp[n] * (W[n] - model.start[n])
    bias = bias + np.array([slopes[model.entries(k)].sum() for k in range(K)])
    largest = float(np.abs(bias).max())
    step = -model.inverse @ bias
    W[n] += step
    for k in range(K):
        move(k, float(step[k]))
    for j in range(n):
        for k in range(K):
            at, curvature = float(W[j, k]), float(model.curvatures[j, k])
            if (at == 0.0 and not everything) or not curvature > 0.0:
                continue
            part = model.entries(k)
            i = model.image[part]
            x = model.X[j, i].astype(np.float64)
            slopes = model.d[part] * model.z[part] - model.v[part] * model.e[i] - model.w[part] * model.c[i]
            slope = float(model.slope[j, k] + model.damp[j] * (at - model.start[j, k]) + model.ridge * at + x @ slopes)
            aim, least = at - slope / curvature, model.size / curvature
            to = aim - least if aim > least else aim + least if aim < -least else 0.0
            if to != at:
                W[j, k] = to
                largest = max(largest, abs(to - at) * curvature)
                move(k, (to - at) * x)
    return largest


def krylov(model: CurvedModel, most: int, share: float) -> int:
    """Conjugate gradients for the weights that are not 0, as if they kept their signs; those that change it become 0.

    Where the model does not fall so, the step is the one along the line at which it is least. The iterations made; -1
    - n where the model did not fall and nothing was changed after n of them.
    """
    W, n = model.W, len(model.X)
    K = W.shape[1]
    used = W != 0.0
    used[n] = True
    free = used.copy()
    free[n] = False

    def spread(step: Floats) -> tuple[Floats, Floats, Floats]:
        z, c, e = np.zeros_like(model.z), np.zeros_like(model.c), np.zeros_like(model.e)
        for k in range(K):
            part = model.entries(k)
            z[part] = step[:n, k] @ model.X[:, model.image[part]] + step[n, k]
        np.add.at(c, model.image, model.v * z)
        np.add.at(e, model.image, model.w * z)
        return z, c, e

    def gather(z: Floats, c: Floats, e: Floats) -> Floats:
        slopes, out = model.slopes(z, c, e), np.zeros_like(W)
        for k in range(K):
            part = model.entries(k)
            out[:n, k] = model.X[:, model.image[part]] @ slopes[part]
            out[n, k] = slopes[part].sum()
        return np.where(used, out, 0.0)

    inverses = [_inverse(model, k, np.flatnonzero(free[:n, k])) for k in range(K)]

    def preconditioned(r: Floats) -> Floats:
        y = np.zeros_like(r)
        np.divide(r[:n], model.curvatures, out=y[:n], where=free[:n])
        for k, inverse in enumerate(inverses):
            if inverse is not None:
                y[:n, k][free[:n, k]] = inverse @ r[:n, k][free[:n, k]]
        y[n] = model.inverse @ r[n]
        return y

    extra = np.where(free, model.ridge, 0.0) + model.damp[:, None]
    r = -(gather(model.z, model.c, model.e) + model.slope + model.damp[:, None] * (W - model.start))
    r -= np.where(free, model.ridge * W + model.size * np.sign(W), 0.0)
    r = np.where(used, r, 0.0)
    fall, y = r, preconditioned(r)
    q, x, left, steps = y.copy(), np.zeros_like(W), float((r * y).sum()), 0
    wanted = share * share * left
    while steps < most and left > wanted:
        h = gather(*spread(q)) + extra * q
        curvature = float((h * q).sum())
        if not curvature > 0.0:
            break
        x += left / curvature * q
        r = np.where(used, r - left / curvature * h, 0.0)
        y = preconditioned(r)
        following = float((r * y).sum())
        q, left, steps = y + following / left * q, following, steps + 1
    first, old = model.value(model.z, model.c, model.e), W.copy()

    def accepted(to: Floats) -> bool:
        W[:] = to
        moved = [a + b for a, b in zip((model.z, model.c, model.e), spread(W - old), strict=True)]
        if not model.value(*moved) <= first:
            return False
        model.z[:], model.c[:], model.e[:] = moved
        return True

    for halvings in range(HALVINGS):
        to = old + 0.5**halvings * x
        if accepted(np.where(free & (to * old < 0.0), 0.0, to)):
            return steps
    along = float((fall * x).sum())
    if accepted(old + _line_minimum(old[free], x[free], model.size, along, along - float((r * x).sum())) * x):
        return steps
    W[:] = old
    return -1 - steps


def _inverse(model: CurvedModel, k: int, used: npt.NDArray[np.int64]) -> Floats | None:
    """The inverse of the curvature in the weights `used` of class k; None if they are many, or none, or it has none."""
    if not 0 < len(used) <= MOST_FACTORED:
        return None
    part = model.entries(k)
    X = model.X[np.ix_(used, model.image[part])].astype(np.float64)
    own = model.d[part] - 2.0 * model.v[part] * model.w[part]
    curvature = (X * own) @ X.T + np.diag(model.ridge + model.damp[used])
    try:
        np.linalg.cholesky(curvature)
    except np.linalg.LinAlgError:
        return None
    return np.linalg.inv(curvature)


def _line_minimum(old: Floats, x: Floats, size: float, fall: float, curvature: float) -> float:
    """The step along x at which the model is least.

    Its slope at 0 is -`fall`, its second derivative `curvature`, and it has a kink where a weight crosses 0.
    """
    if not curvature > 0.0:
        return 0.0
    crossing = x * old < 0.0
    steps, grows = -old[crossing] / x[crossing], 2.0 * size * np.abs(x[crossing])
    slope = -fall
    for j in np.lexsort((grows, steps)):
        if slope + curvature * steps[j] >= 0.0:
            break
        slope += float(grows[j])
        if slope + curvature * steps[j] >= 0.0:
            return float(steps[j])
    return -slope / curvature
