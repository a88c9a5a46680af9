"""Freeboard against an S3 server of others: stores.py BINARY (built with the feature `remote`).

moto serves S3 on the loopback. Arrays that zarr-python, astropy and numpy wrote are put there with
boto3, read over S3's protocol and over plain HTTP, and compared to the bit; arrays that
freeboard writes there are taken back and read by zarr-python. Prints one line; ends with 1 and
the differences if there are any.
"""

import itertools
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
import numpy as np
import zarr
from astropy.io import fits
from moto.server import ThreadedMotoServer

from check import difference

BUCKET = "arrays"


class Stores:
    def __init__(self, binary, folder, url):
        self.binary, self.folder, self.url = Path(binary).resolve(), Path(folder), url
        self.client = boto3.client("s3", endpoint_url=url)
        self.client.create_bucket(Bucket=BUCKET)
        self.numbers, self.done, self.wrong = itertools.count(), 0, []

    def upload(self, path):
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        for file in files:
            public = {"ACL": "public-read"}  # for those who come by plain HTTP
            self.client.upload_file(str(file), BUCKET, str(file.relative_to(self.folder)), ExtraArgs=public)

    def download(self, name):
        """What lies below `name`, in a new folder."""
        folder = self.folder / f"back{next(self.numbers)}"
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{name}/"):
            for found in page.get("Contents", []):
                path = folder / found["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                self.client.download_file(BUCKET, found["Key"], str(path))
        return folder / name

    def run(self, *args):
        done = subprocess.run([self.binary, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return None if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()}"

    def note(self, what, error):
        self.done += 1
        if error is not None:
            self.wrong.append(f"{what}: {error}")

    def read(self, name, expected):
        """The array `name`, as freeboard reads it."""
        for url in (f"s3://{BUCKET}/{name}", f"{self.url}/{BUCKET}/{name}"):
            out = self.folder / f"out{next(self.numbers)}.npy"
            error = self.run("convert", url, str(out), "--quiet")
            self.note(url, error or difference(np.load(out), expected))

    def write(self, array, name, *options):
        """`array`, written by freeboard and read by zarr-python."""
        source = self.folder / f"in{next(self.numbers)}.npy"
        np.save(source, array)
        root, _, item = name.partition("::")
        error = self.run("convert", str(source), f"s3://{BUCKET}/{name}", "--quiet", *options)
        if error is None:
            error = difference(np.asarray(zarr.open_array(self.download(root), path=item, mode="r")[...]), array)
        self.note(name, error)
        return error is None


def check(stores):
    rng = np.random.default_rng(7)
    cube = rng.normal(size=(23, 41, 37)).astype("f4")
    frame = rng.integers(0, 60000, size=(300, 200)).astype("u2")
    layouts = {
        "v2.zarr": dict(zarr_format=2, chunks=(7, 20, 37)),
        "v3.zarr": dict(zarr_format=3, chunks=(7, 20, 37)),
        "plain.zarr": dict(zarr_format=3, chunks=(7, 20, 37), compressors=None),
        "sharded.zarr": dict(zarr_format=3, chunks=(5, 10, 37), shards=(10, 20, 37)),
    }
    for name, layout in layouts.items():
        path = stores.folder / name
        made = zarr.create_array(str(path), shape=cube.shape, dtype=cube.dtype, **layout)
        made[...] = cube
        stores.upload(path)
        stores.read(name, cube)
    for version in (2, 3):
        path = stores.folder / f"group{version}.zarr"
        group = zarr.open_group(str(path), mode="w", zarr_format=version)
        for item, array in (("deep/cube", cube), ("frame", frame)):
            group.create_array(item, shape=array.shape, dtype=array.dtype, chunks=(20,) * array.ndim)[...] = array
        zarr.consolidate_metadata(str(path))
        stores.upload(path)
        stores.read(f"{path.name}::deep/cube", cube)
        stores.read(f"{path.name}::frame", frame)
        for url in (f"s3://{BUCKET}/{path.name}", f"{stores.url}/{BUCKET}/{path.name}"):
            stores.note(url, stores.run("info", url))
    hdu = fits.CompImageHDU(frame, compression_type="RICE_1")
    for name, write in (
        ("cube.npy", lambda path: np.save(path, cube)),
        ("frame.fits", fits.PrimaryHDU(frame).writeto),
        ("rice.fits", fits.HDUList([fits.PrimaryHDU(), hdu]).writeto),
    ):
        write(path := stores.folder / name)
        stores.upload(path)
        stores.read(name, cube if name == "cube.npy" else frame)

    stores.write(cube, "out/cube.zarr", "--chunks", "7,20,37")
    stores.write(frame, "out/frame.zarr", "--chunks", "50,50", "--shards", "100,100", "--codec", "none")
    stores.write(frame, "out/group.zarr::a/frame", "--chunks", "150,100")
    stores.write(cube, "out/group.zarr::a/cube", "--chunks", "23,41,10")
    stores.write(np.tile(cube, (1, 1, 100)), "out/long.zarr", "--chunks", "-1,-1,-1", "--codec", "none")
    stores.write(frame, "out/cube.zarr", "--overwrite-in-place", "--chunks", "300,200")
    refused = stores.run("convert", str(stores.folder / "cube.npy"), f"s3://{BUCKET}/out/cube.zarr", "--quiet")
    stores.note("a second store", None if "exists already" in (refused or "") else f"not refused: {refused}")
    missing = stores.run("info", "s3://nowhere/x.zarr")
    stores.note("no bucket", None if "no such bucket" in (missing or "") else f"says {missing}")


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    os.environ.update(
        AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="somebody", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1", NO_PROXY="127.0.0.1",
    )
    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(sys.argv[1], folder, url)
        check(stores)
    server.stop()
    for line in stores.wrong:
        print(line, file=sys.stderr)
    print(f"object stores: {stores.done} compared, {len(stores.wrong)} wrong")
    sys.exit(1 if stores.wrong else 0)


if __name__ == "__main__":
    main()
