"""Makes cards.fits.gz and cards.json: cards of every kind and images of 1 to 8 axes, in one file.

Written with astropy 8.0. The primary HDU is empty; what it says is inherited where an extension
asks for it (INHERIT = T). The JSON tells, for each extension, what astropy reads: the image as
bytes, little-endian, in hexadecimal, and the cards that are not about how the data lie.
"""

import gzip
import io
import json
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits

warnings.simplefilter("ignore", fits.verify.VerifyWarning)
HERE = Path(__file__).resolve().parent
STRUCTURE = {"XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "INHERIT", "BSCALE", "BZERO", "CHECKSUM", "DATASUM"}
# What is named, and what comments, is each HDU's own.
OWN = {"SIMPLE", "EXTEND", "BITPIX", "NAXIS", "COMMENT", "HISTORY", "EXTNAME", "EXTVER"}


def primary():
    hdu = fits.PrimaryHDU()
    hdu.header.update({"TELESCOP": "Freeboard", "EXPTIME": 30.0, "DATE-OBS": "2024-05-06T07:08:09.123"})
    hdu.header["HIERARCH ESO TEL ALT"] = 47.25
    hdu.header["NOTES"] = "what the primary header says at some length, " * 3
    hdu.header["EXTNAME"] = "WHOLE"
    hdu.header["HISTORY"] = "this stays in the primary header"
    return hdu


def extension(name, version, data, cards=(), **compressed):
    hdu = fits.CompImageHDU(data, **compressed) if compressed else fits.ImageHDU(data)
    hdu.header["EXTNAME"], hdu.header["EXTVER"] = name, version
    for card in cards:
        hdu.header.append(card, end=True)
    return hdu


def kinds():
    """A card of each kind, and some at the limits of what a card holds."""
    quotes, cards = "it's 'quoted' & goes on; ", []
    cards += [("OBSERVER", "O'Hara"), ("EMPTY", ""), ("SPACES", "  two, then some"), ("SLASH", "a / b", "c / d")]
    cards += [("YES", True), ("NO", False), ("NOTHING", None), ("COMPLEX", 1.5 - 2j)]
    cards += [("MOST", 2**63 - 1), ("LEAST", -(2**63)), ("ULONG", 2**64 - 1)]
    cards += [("TINY", 5e-324), ("HUGE", 1.797e308), ("PI", np.pi), ("MINUS", -1e-5), ("WHOLE", 3.0)]
    cards += [(f"TEXT{n}", "x" * n) for n in range(64, 72)]  # 68 fill a card
    # Not 66: there astropy 8.0 cuts a doubled quote in two, which is no string by the standard.
    cards += [(f"QUOTE{n}", "x" * n + "'" + "y" * 9) for n in (60, 61, 62, 63, 64, 65, 67)]
    cards += [("LONG", quotes * 9), ("LONGNOTE", quotes * 4, "with a comment behind the last card")]
    cards += [("HIERARCH ESO DET CHIP1 NAME", "CCD-44"), ("HIERARCH ESO DET CHIP1 NX", 2048)]
    cards += [("HIERARCH ESO DET CHIP1 GAIN", 1.75), ("HIERARCH ESO DET CHIP1 LIVE", True)]
    cards += [("HIERARCH ESO OBS TARGET NOTE", quotes * 5), ("HIERARCH A word", -1)]
    cards += [("HISTORY", "one"), ("HISTORY", "two"), ("COMMENT", "c" * 100)]
    return cards


def images():
    small = np.arange(12, dtype="i2").reshape(3, 4)
    yield extension("SCI", 1, small, [("INHERIT", True), ("EXPTIME", 12.5)])
    yield extension("ERR", 1, small.astype("f4") / 8, [("INHERIT", False), ("EXPTIME", 12.5)])
    yield extension("SCI", 2, small.astype("u2") + 40_000, [("INHERIT", True), *kinds()])
    yield extension("ERR", 2, small.astype("f8") * 0.1)
    packed = {"compression_type": "RICE_1", "tile_shape": (2, 4)}
    yield extension("SCI", 3, small.astype("i4") * 1000, [("INHERIT", True), *kinds()], **packed)
    lengths = (2, 3, 1, 2, 1, 3, 2, 2)
    for rank, dtype in zip(range(1, 9), ("u1", "i2", "i4", "i8", "f4", "f8", "u2", "i1")):
        shape = lengths[:rank]
        data = (np.arange(np.prod(shape)) * 7 % 251 % 127).astype(dtype).reshape(shape)
        yield extension("AXES", rank, data)


def told(value):
    if isinstance(value, complex):
        return [value.real, value.imag]
    return None if isinstance(value, fits.card.Undefined) else value


def cards_of(header):
    """The cards by name; commentary as lists of lines."""
    cards = {}
    for card in header.cards:
        name = card.keyword.upper()
        if name in STRUCTURE or name.startswith("NAXIS"):
            continue
        if name in ("COMMENT", "HISTORY"):
            cards.setdefault(name, []).append(card.value)
        elif name:
            cards[name] = told(card.value)
    return cards


def main():
    whole = io.BytesIO()
    fits.HDUList([primary(), *images()]).writeto(whole, checksum=True)
    entries = []
    (HERE / "cards.fits.gz").write_bytes(gzip.compress(whole.getvalue(), mtime=0))
    with fits.open(HERE / "cards.fits.gz") as hdus:
        handed_down = {k: v for k, v in cards_of(hdus[0].header).items() if k not in OWN}
        for hdu in hdus[1:]:
            data = np.asarray(hdu.data)
            cards = cards_of(hdu.header)
            if hdu.header.get("INHERIT"):
                cards = {**handed_down, **cards}
            entries.append(
                {
                    "item": f"{hdu.name},{hdu.ver}",
                    "dtype": data.dtype.name,
                    "shape": data.shape,
                    "bytes": data.astype(data.dtype.newbyteorder("<")).tobytes().hex(),
                    "cards": cards,
                }
            )
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    (HERE / "cards.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
