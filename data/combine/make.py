#!/usr/bin/env python3
"""What ccdproc and astropy make of frames, for the tests of `combine`.

Writes `cases.json` into its own folder: frames with outliers, NaN and infinities, and, for each
way of combining, the result. Where ccdproc and the library differ by intent (ccdproc clips before
it scales, counts what was rejected in weighted means, and does not tell its clipping of masks),
astropy's `sigma_clip` on masked frames is the reference.

    python3 make.py        (numpy 2, astropy, ccdproc; seeded)
"""

import json
import warnings
from pathlib import Path

import ccdproc
import numpy as np
from astropy.nddata import CCDData
from astropy.stats import sigma_clip

warnings.simplefilter("ignore")
rng = np.random.default_rng(7)
COUNT = 12
frames = rng.normal(100, 5, (COUNT, 4, 5))
frames[rng.random(frames.shape) < 0.08] *= 4
frames[3, 0] = np.nan
frames[:, 1, 1] = np.nan
frames[:, 1, 2] = 7.5
frames[5, 2, 3], frames[6, 2, 3] = np.inf, -np.inf
frames = frames.astype("f4").astype("f8")
mask = rng.random(frames.shape) < 0.15
weights = rng.uniform(0.5, 2, COUNT).tolist()
scale = rng.uniform(0.8, 1.2, COUNT).tolist()
finite = np.where(np.isfinite(frames), frames, 90.0)
METHODS = {
    "mean": ("average_combine", np.nanmean),
    "median": ("median_combine", np.nanmedian),
    "sum": ("sum_combine", np.nansum),
}
cases = []


def case(which, method, result, **options):
    empty = ~np.isfinite(result)
    cases.append({"frames": which, "method": method, **options,
                  "result": [None if e else float(v) for e, v in zip(empty.ravel(), result.ravel())]})  # fmt: skip


def combiner():
    return ccdproc.Combiner([CCDData(frame, unit="adu") for frame in finite])


def of_kept(method, data, rejected):
    values = np.where(rejected | np.isnan(data), np.nan, data)
    result = METHODS[method][1](values, axis=0)
    return np.where(np.isnan(values).all(axis=0), np.nan, result)


for method, (combine, _) in METHODS.items():
    result = lambda c: np.ma.filled(np.ma.array(getattr(c, combine)().data), np.nan)
    case("finite", method, result(combiner()))
    for center in "mean", "median":
        for deviation in "std", "mad_std":
            for low, high in (3, 3), (1.5, 2), (0.5, 0.25):
                c = combiner()
                c.sigma_clipping(low, high, func=center, dev_func=deviation)
                clip = {"low": low, "high": high, "center": center, "deviation": deviation}
                kept = c.data_arr.mask.all(axis=0)
                case("finite", method, np.where(kept, np.nan, result(c)), clip=clip | {"iterations": 1})
                # Until nothing more is rejected, of frames with NaN, infinities and a mask.
                for iterations in 2, None:
                    out = sigma_clip(np.ma.array(frames, mask=mask), sigma_lower=low, sigma_upper=high, maxiters=iterations,
                                     cenfunc=center, stdfunc=deviation, axis=0, masked=True)  # fmt: skip
                    case("all", method, of_kept(method, frames, np.ma.getmaskarray(out)), mask=True, clip=clip | {"iterations": iterations})
    c = combiner()
    c.minmax_clipping(90, 110)
    kept = c.data_arr.mask.all(axis=0)
    case("finite", method, np.where(kept, np.nan, result(c)), limits=[90, 110])
    c = combiner()
    c.scaling = np.array(scale)
    case("finite", method, result(c), scale=scale)
    if method != "median":
        c = combiner()
        c.weights = np.array(weights)
        case("finite", method, result(c), weights=weights)

nulls = lambda a: [None if np.isnan(v) else "inf" if v == np.inf else "-inf" if v == -np.inf else v for v in a.ravel().tolist()]
text = {"shape": frames.shape, "all": nulls(frames), "finite": nulls(finite), "mask": mask.ravel().tolist()}
lines = ",\n".join(json.dumps(c) for c in cases)
body = json.dumps(text)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
(Path(__file__).parent / "cases.json").write_text(body)
print(len(cases), "cases")
