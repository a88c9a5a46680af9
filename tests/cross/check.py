"""Freeboard against the libraries of Python: check.py BINARY [--seed N].

1. What ships in data/ is converted to every format, and compared with what astropy, h5py,
   zarr and numpy read in the original: to the bit, NaN being equal to NaN.
2. Random arrays of all dtypes are written by those libraries, in their various layouts,
   converted to every other format, and compared in the same way.

Prints one line for each part; ends with 1 and the differences if there are any.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import zarr
from astropy.io import fits

warnings.simplefilter("ignore")
warnings.filterwarnings("error", message="(Checksum|Datasum) verification failed")
DATA = Path(__file__).resolve().parent.parent.parent / "data"
DTYPES = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64".split()
OUTPUTS = ["zarr", "h5", "fits", "npy"]


def read_fits(path):
    """The first image; checksums that do not hold are errors."""
    with fits.open(path, memmap=False, checksum=True) as hdus:
        return np.array(next(hdu.data for hdu in hdus if hdu.data is not None or len(hdus) == 1))


def read_zarr(path):
    store, _, item = str(path).partition("::")
    return np.asarray(zarr.open_array(store, path=item, mode="r")[...])


def data_sets(file):
    names = []
    file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
    return names


def read_hdf5(path):
    with h5py.File(path, "r") as file:
        (item,) = [name for name in data_sets(file) if not file[name].is_scale]
        return np.asarray(file[item][()])


READ = {"zarr": read_zarr, "h5": read_hdf5, "fits": read_fits, "npy": np.load}


def as_stored(array, suffix):
    """What a format that lacks a dtype or a rank holds in its place."""
    if suffix == "fits":
        array = array.astype("u1") if array.dtype == bool else array
        array = array.reshape(1) if array.ndim == 0 else array
    return array


def difference(got, expected):
    """What tells `got` from `expected`, or None."""
    native = expected.dtype.newbyteorder("=")
    if got.dtype.newbyteorder("=") != native or got.shape != expected.shape:
        return f"{got.dtype} {got.shape}, not {native} {expected.shape}"
    got = np.ascontiguousarray(got.astype(native))
    expected = np.ascontiguousarray(expected.astype(native))
    same = got.reshape(-1).view(f"V{native.itemsize}") == expected.reshape(-1).view(f"V{native.itemsize}")
    if native.kind == "f":
        same = same | (np.isnan(got) & np.isnan(expected)).reshape(-1)
    if same.all():
        return None
    at = int(np.argmin(same))
    return f"element {at} is {got.reshape(-1)[at]!r}, not {expected.reshape(-1)[at]!r}; {np.sum(~same)} differ"


class Check:
    def __init__(self, binary, folder):
        self.binary, self.folder = Path(binary).resolve(), Path(folder)
        self.numbers, self.done, self.counted, self.wrong = itertools.count(), 0, 0, []

    def convert(self, source, suffix, *options):
        out = self.folder / f"out{next(self.numbers)}.{suffix}"
        command = [self.binary, "convert", str(source), str(out), *options, "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            return None, f"exit {done.returncode}: {done.stderr.strip()}"
        return out, None

    def compare(self, source, expected, suffixes=OUTPUTS, options=()):
        for suffix in suffixes:
            self.done += 1
            out, error = self.convert(source, suffix, *options)
            if error is None:
                error = difference(READ[suffix.split("::")[0]](out), as_stored(expected, suffix))
            if error is not None:
                self.wrong.append(f"{source} -> {suffix} {' '.join(options)}: {error}")

    def part(self, name, least):
        """Tells what a part compared, which is `least` conversions at the least: data that are not found are no success."""
        done, self.counted = self.done - self.counted, self.done
        if done < least:
            self.wrong.append(f"{name}: only {done} conversions compared, not {least}")
        print(f"{name}: {done} compared, {len(self.wrong)} wrong so far", flush=True)


def visp(check):
    """The raster that ships: 80 compressed files as one array."""
    stokes = [
        [read_fits(DATA / f"visp/visp/{name}_{step:03d}.fits")[0] for step in range(20)] for name in "IQUV"
    ]
    check.compare(str(DATA / "visp/visp/{stokes}_{raster:03d}.fits"), np.array(stokes, "f4"))
    check.compare(str(DATA / "visp/visp/I_*.fits"), np.array(stokes[0], "f4"), ["zarr", "npy"])


def hdf5_axes(check):
    """Named axes have labels and scales, as h5py tells them."""
    check.done += 1
    out, error = check.convert(DATA / "visp/visp/{stokes}_{raster:03d}.fits", "h5")
    if error is None:
        with h5py.File(out, "r") as file:
            dims = file["data"].dims
            told = [(dim.label, [scale.name for scale in dim.values()]) for dim in dims]
        wanted = [(name, [f"/{name}"] if name else []) for name in ["stokes", "raster", "", ""]]
        error = None if told == wanted else f"axes {told}, not {wanted}"
    if error is not None:
        check.wrong.append(error)


def quantised(check):
    """Floats rounded to steps are read by astropy within half of one; fitsverify, where it is,
    has nothing to say of any kind of output."""
    rng = np.random.default_rng(3)
    for dtype in ("f4", "f8"):
        x = rng.normal(100, 5, (60, 1500)).astype(dtype)
        x[7, 20:40], x[9], x[11, 5] = np.nan, 3.25, 0
        source = check.folder / f"noise-{dtype}.npy"
        np.save(source, x)
        for codec in ("rice:4", "rice:4:none", "rice:16:2", "rice:-0.5", "gzip", "none"):
            check.done += 1
            out, error = check.convert(source, "fits", "--codec", codec)
            if error is None:
                read = read_fits(out).astype("f8")
                step = 0.0
                if codec.startswith("rice"):
                    with fits.open(out, disable_image_compression=True) as hdus:
                        step = hdus[1].data["ZSCALE"].reshape(-1, 1)
                far = np.abs(read - x) > np.abs(step) * 0.50001 + np.spacing(np.abs(x)) * 2
                if (np.isnan(read) != np.isnan(x)).any() or far.any():
                    error = f"{far.sum()} elements differ by more than half a step"
            if error is None and shutil.which("fitsverify"):
                said = subprocess.run(["fitsverify", "-q", str(out)], capture_output=True, text=True)
                error = None if said.stdout.startswith("verification OK") else said.stdout
            if error is not None:
                check.wrong.append(f"{dtype} {codec}: {error}")


def fits_fixtures(check):
    for entry in json.loads((DATA / "fits/manifest.json").read_text()):
        path = DATA / "fits" / entry["file"]
        item = "" if entry["item"] is None else f"::{entry['item']}"
        dtype, count = np.dtype(entry["dtype"]).newbyteorder("<"), int(np.prod(entry["shape"]))
        elements = np.fromfile(DATA / "fits/expected.bin", dtype, count, offset=entry["offset"])
        check.compare(f"{path}{item}", elements.reshape(entry["shape"]))


def fits_cards(check):
    """Cards, inherited ones too, pass through a slice into files that astropy reads."""
    with fits.open(DATA / "fits/cards.fits.gz") as hdus:
        handed_down = cards_of(hdus[0].header, ("COMMENT", "HISTORY", "EXTNAME", "EXTVER"))
        wanted = {}
        for hdu in hdus[1:]:
            inherited = handed_down if hdu.header.get("INHERIT") else {}
            wanted[f"{hdu.name},{hdu.ver}"] = (np.array(hdu.data), {**inherited, **cards_of(hdu.header)})
    for item, (data, cards) in wanted.items():
        cards = {name: value for name, value in cards.items() if not isinstance(value, complex)}
        for codec in ("none", "gzip:1"):
            check.done += 1
            out, error = check.convert(DATA / f"fits/cards.fits.gz::{item}", "fits", "--slice", "1:", "--codec", codec)
            if error is None:
                error = difference(read_fits(out), data[1:])
            if error is None:
                with fits.open(out) as hdus:
                    told = cards_of(hdus[0 if codec == "none" else 1].header)
                odd = sorted(k for k in {*told, *cards} if told.get(k, "none") != cards.get(k, "none"))
                error = f"cards {[(k, told.get(k), cards.get(k)) for k in odd]}" if odd else None
            if error is not None:
                check.wrong.append(f"{item} {codec}: {error}")


def cards_of(header, without=()):
    """What a header says beside how the data lie, by name; commentary as lists of lines."""
    structure = {*without, "SIMPLE", "XTENSION", "EXTEND", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "INHERIT", "LONGSTRN"}
    structure |= {"BSCALE", "BZERO", "CHECKSUM", "DATASUM", ""} | {f"NAXIS{n}" for n in range(1, 9)}
    names = dict.fromkeys(card.keyword for card in header.cards)
    lists = ("COMMENT", "HISTORY")
    return {k.upper(): list(header[k]) if k in lists else header[k] for k in names if k not in structure}


def hdf5_fixtures(check):
    for path in sorted((DATA / "hdf5").glob("*.h5")):
        if path.name in ("refused.h5", "virtual.h5", "filters.h5", "external.h5"):
            continue
        with h5py.File(path, "r") as file:
            for name in data_sets(file):
                node = file[name]
                try:
                    known = node.shape is not None and node.dtype.name in DTYPES
                except TypeError:
                    continue  # integers of a width that NumPy has not
                if not known:
                    continue
                check.compare(f"{path}::/{name}", np.asarray(node[()]), ["zarr", "npy"])


def held(path):
    """All that h5py reads in a file: groups, links, attributes, elements."""
    found = {}

    def value(read):
        try:
            return repr(np.asarray(read()).tolist())
        except Exception as error:
            return type(error).__name__

    def look(name, node):
        found[name] = [value(lambda: node.attrs[key]) for key in sorted(node.attrs)]
        if isinstance(node, h5py.Dataset):
            found[name] += [node.shape, node.chunks, value(lambda: node[()])]
        elif isinstance(node, h5py.Group):
            found[name] += [(key, repr(node.get(key, getlink=True, getclass=True))) for key in node]

    with h5py.File(path, "r") as file:
        look("/", file)
        file.visititems(look)
    return found


def hdf5_beside(check):
    """Data sets are added to and replaced in files of others, where all else stays."""
    small, other = np.arange(35, dtype="i2").reshape(5, 7), np.arange(3.0)
    for i, array in enumerate((small, other)):
        np.save(check.folder / f"beside{i}.npy", array)
    for path in sorted((DATA / "hdf5").glob("*.h5")):
        if path.name == "virtual.h5":
            continue  # h5py does not survive its circles
        copy = check.folder / f"beside-{path.name}"
        shutil.copy(path, copy)
        before = held(copy)
        for i, array in enumerate((small, other)):
            check.done += 1
            command = [check.binary, "convert", check.folder / f"beside{i}.npy", f"{copy}::/added/here", "--quiet"]
            done = subprocess.run([*command, *["--overwrite"] * i], capture_output=True, text=True)
            after, error = held(copy), None
            if done.returncode == 0:
                group, dataset = after.pop("added", None), after.pop("added/here", None)
                after["/"] = [entry for entry in after["/"] if entry[0] != "added"]
                if group is None or dataset is None or dataset[-1] != repr(array.tolist()):
                    error = f"{dataset} was added"
            elif path.name != "shared.h5":
                error = done.stderr.strip()
            if error is None and before != after:
                error = f"changed in {[name for name in before if before[name] != after.get(name)]}"
            if error is not None:
                check.wrong.append(f"{path} with a data set added: {error}")


def zarr_fixtures(check):
    for path in sorted((DATA / "zarr").glob("*.zarr")):
        try:
            array = zarr.open_array(str(path), mode="r")
        except Exception:
            continue  # a group
        if path.name == "v2-lzma.zarr":
            continue  # refused by name
        if np.dtype(array.dtype).name in DTYPES:
            check.compare(path, np.asarray(array[...]), ["h5", "npy"])


def npy_fixtures(check):
    for path in sorted((DATA / "npy").glob("*.npy")):
        array = np.load(path)
        if array.dtype.name in DTYPES:
            check.compare(path, array, ["zarr", "h5"])


def random_array(rng, dtype, shape):
    dtype = np.dtype(dtype)
    bits = rng.integers(0, 256, int(np.prod(shape, dtype=int)) * dtype.itemsize, dtype="u1")
    if dtype == bool:
        return (bits & 1).astype(bool).reshape(shape)
    array = bits.view(dtype).reshape(shape).copy()
    if dtype.kind == "f":
        # Random bits hold NaNs with payloads, which readers may make quiet: all are one here.
        array[np.isnan(array)] = np.nan
    return array


def random_arrays(check, seed):
    rng = np.random.default_rng(seed)
    shapes = [(), (1,), (1000,), (37, 53), (5, 16, 33), (2, 3, 4, 5), (0, 7)]
    for dtype in DTYPES:
        for shape in shapes:
            array = random_array(rng, dtype, shape)
            name = f"{dtype}_{'x'.join(map(str, shape))}"
            chunks = tuple(int(rng.integers(1, n + 1)) for n in shape) if shape and 0 not in shape else None
            inputs = []

            fortran = array.ndim > 1 and rng.random() < 0.5
            np.save(path := check.folder / f"{name}.npy", np.asfortranarray(array) if fortran else array)
            inputs.append((path, ["zarr", "h5"]))
            with h5py.File(path := check.folder / f"{name}.h5", "w", libver=str(rng.choice(["earliest", "latest"]))) as file:
                if chunks is None:
                    file.create_dataset("values", data=array)
                else:
                    zipped = dict(compression="gzip", shuffle=True) if rng.random() < 0.5 else {}
                    file.create_dataset("values", data=array, chunks=chunks, fletcher32=bool(rng.random() < 0.3), **zipped)
            inputs.append((path, ["zarr", "npy"]))
            version = int(rng.choice([2, 3]))
            made = zarr.create_array(
                str(path := check.folder / f"{name}.zarr"), shape=shape, dtype=dtype, zarr_format=version,
                chunks=chunks or tuple(max(n, 1) for n in shape), fill_value=0,
            )
            made[...] = array
            inputs.append((path, ["h5", "fits"]))
            if dtype != "bool" and shape and 0 not in shape:
                fits.PrimaryHDU(array).writeto(path := check.folder / f"{name}.fits", overwrite=True)
                inputs.append((path, ["zarr", "npy"]))
            for path, suffixes in inputs:
                check.compare(path, array, suffixes)
            if chunks is not None:
                cut = ",".join(str(int(rng.integers(1, n + 1))) for n in shape)
                for codec, suffix in (("zstd:1", "zarr"), ("gzip:1", "zarr"), ("none", "zarr"), ("deflate:1", "h5"), ("none", "h5"), ("gzip:1", "fits"), ("rice", "fits")):
                    if codec == "rice" and (array.dtype.kind == "f" or array.dtype.itemsize == 8):
                        continue
                    check.compare(inputs[0][0], array, [suffix], ["--chunks", cut, "--codec", codec])
                shards = ",".join(str(int(n) * int(rng.integers(1, 4))) for n in cut.split(","))
                check.compare(inputs[0][0], array, ["zarr::deep/er"], ["--chunks", cut, "--shards", shards])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        check = Check(options.binary, folder)
        parts = [(visp, 6), (hdf5_axes, 1), (quantised, 1), (fits_fixtures, 360), (fits_cards, 26), (hdf5_fixtures, 180), (hdf5_beside, 30),
                 (zarr_fixtures, 140), (npy_fixtures, 36)]
        for part, least in parts:
            part(check)
            check.part(part.__name__, least)
        random_arrays(check, options.seed)
        check.part(f"random arrays (seed {options.seed})", 900)
    for line in check.wrong[:40]:
        print(line, file=sys.stderr)
    print(f"cross-check: {check.done} conversions compared, {len(check.wrong)} wrong")
    sys.exit(1 if check.wrong else 0)


if __name__ == "__main__":
    main()
