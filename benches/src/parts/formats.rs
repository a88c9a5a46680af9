//! `formats`: each format's path beside its floor, on the same threads and in turn.
//!
//! The floor of a plain file is a copy: positioned reads of the same bytes from the page cache
//! into one buffer a thread, and their conversion there, by the loop that the adapter has. That of a compressed one is the decoder
//! alone, on stored bytes that are in memory. freeboard is asked for the greatest element, which
//! takes every element once and keeps none; beside it for a sum, and for all elements in memory
//! of the caller.

use super::{Common, Folder, rounded, stored_small};
use crate::context::{Result, open};
use clap::Args;
use freeboard::{
    Array, Element, Fits, Hdf5, Session, Zarr,
    array::{Chunks, Kind},
    formats::{
        Writer,
        fits::{Dither, FitsWriter},
    },
};
use freeboard_bench::{
    data::{self, SIDE},
    floors::{Plain, Stored},
    laps::{Laps, Start, in_turn},
};
use freeboard_formats::codecs::Codec;
use ndarray::ArrayD;
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Formats beside the floors of their paths; opening many files; single frames.
#[derive(Args, Debug)]
pub(crate) struct Formats {
    #[command(flatten)]
    common: Common,
    /// Bytes of each data set before it is compressed, in MB.
    #[arg(long, default_value_t = 256)]
    megabytes: u64,
    /// How often each is run.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the formats whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// How many small files are opened as one array; 0 for none.
    #[arg(long, default_value_t = 10_000)]
    files: u64,
}

/// How a data set is stored, and read at best.
struct Case {
    name: &'static str,
    /// The folder's name, or that of the files in it.
    location: &'static str,
    /// How long the first axis is where there are four.
    first: usize,
    writer: fn(&Path) -> Box<dyn Writer>,
    floor: Floor,
}

enum Floor {
    Copy,
    /// The codec, and whether it has a row of a frame at a time and not a frame.
    Decode(Codec, bool),
}

/// The step that images are rounded to: a quarter of their noise, as the level 4 does.
const STEP: f64 = 12.9;

fn fits(path: &Path) -> FitsWriter {
    Fits::create(path.join("x/{i:05d}.fits"))
}

/// The cases of elements of `T`: floats of 32 bits, which RICE_1 has to round, or integers of 16.
fn cases<T: Element>() -> [Case; 5] {
    let size = size_of::<T>();
    let rounded = T::DTYPE.is_float();
    let rice: fn(&Path) -> Box<dyn Writer> = match rounded {
        true => |path| Box::new(fits(path).quantised(4.0, Dither::None)),
        false => |path| Box::new(fits(path).rice()),
    };
    let zarr = |name, writer, codec| Case {
        name,
        location: "x.zarr",
        first: 4,
        writer,
        floor: Floor::Decode(codec, false),
    };
    [
        Case {
            name: "FITS",
            location: "x/*.fits",
            first: 1,
            writer: |path| Box::new(fits(path)),
            floor: Floor::Copy,
        },
        Case {
            name: "FITS RICE_1",
            location: "x/*.fits",
            first: 1,
            writer: rice,
            floor: Floor::Decode(
                if rounded { Codec::Quantised { step: STEP } } else { Codec::Rice },
                true,
            ),
        },
        Case {
            name: "HDF5 shuffle, deflate",
            location: "x.h5",
            first: 1,
            writer: |path| Box::new(Hdf5::create(path.join("x.h5")).deflate(4)),
            floor: Floor::Decode(Codec::ShuffledDeflate { size, level: 4 }, false),
        },
        zarr(
            "Zarr zstd",
            |path| Box::new(Zarr::create(path.join("x.zarr")).zstd(3)),
            Codec::Zstd { level: 3 },
        ),
        zarr(
            "Zarr blosc",
            |path| Box::new(Zarr::create(path.join("x.zarr")).blosc()),
            Codec::Blosc { size },
        ),
    ]
}

impl Formats {
    /// Measures all that was asked for.
    pub(super) fn run(&self) -> Result<Value> {
        let session = self.common.session()?;
        let mut out = Map::new();
        println!(
            "GB/s of elements on {} threads: the median of {} runs in turn and half their spread; \
             the median of their ratios, by the clock and by what processors did",
            self.common.threads, self.rounds
        );
        println!(
            "{:<30} {:>13} {:>13} {:>6} {:>5} {:>12} {:>12} {:>6}",
            "", "floor", "max", "ratio", "work", "sum", "into", "stored"
        );
        let frames = (self.megabytes * 1_000_000).div_ceil(SIDE * SIDE * 4).next_multiple_of(4);
        self.cases(&data::calibrated(frames), &session, &mut out)?;
        self.cases(&data::counts(2 * frames), &session, &mut out)?;
        if self.files > 0 {
            out.insert("opening".into(), self.opening(&session)?);
        }
        Ok(Value::Object(out))
    }

    fn cases<T: Element<Repr = T> + Kind + bytemuck::Pod>(
        &self,
        frames: &Array<T>,
        session: &Session,
        out: &mut Map<String, Value>,
    ) -> Result<()> {
        for case in cases::<T>() {
            let name = format!("{} {}", <T as Element>::DTYPE.name(), case.name);
            if !name.contains(&self.only) {
                continue;
            }
            let folder = Folder::new(&self.common.data, "formats")?;
            let mut shape = frames.shape()?;
            let mut chunks = frames.chunksize()?;
            if case.first > 1 {
                shape.splice(..1, [case.first, shape[0] / case.first]);
                chunks.insert(0, 1);
            }
            let stored = frames.reshape(shape).rechunk(Chunks::sizes(&chunks[..]));
            session.store_dyn(&stored, &*(case.writer)(folder.path()))?;
            let measured = self.case::<T>(&name, &case, folder.path(), session)?;
            out.insert(name, measured);
        }
        Ok(())
    }

    fn case<T: Element<Repr = T> + Kind + bytemuck::Pod>(
        &self,
        name: &str,
        case: &Case,
        folder: &Path,
        session: &Session,
    ) -> Result<Value> {
        let threads = self.common.threads;
        let location = folder.join(case.location);
        let array = open(&location)?.typed::<T>()?;
        let shape = array.shape()?;
        let bytes = array.nbytes()?;
        let frame = (SIDE * SIDE) as usize * size_of::<T>();
        let files = data::files_below(folder)?;
        let on_disk: u64 = files.iter().map(|f| fs::metadata(f).map_or(0, |f| f.len())).sum();

        let mut elements = ArrayD::<T>::from_elem(shape.clone(), T::zeroed());
        session.compute_into(&array, elements.view_mut())?;
        let copy;
        let stored;
        let floor: &dyn Fn() -> Result<()> = match case.floor {
            Floor::Copy => {
                copy = Plain::of(<T as Element>::DTYPE, &files, frame)?;
                &|| Ok(copy.copy(threads)?)
            }
            Floor::Decode(codec, rows) => {
                let all = elements.as_slice().expect("in C order");
                let chunks: Vec<&[u8]> = bytemuck::cast_slice(all).chunks(frame).collect();
                let piece = if rows { frame / SIDE as usize } else { frame };
                stored = Stored::of(codec, &chunks, piece)?;
                // What the floor decodes is what lies in the files, but for their headers.
                let share = stored.bytes() as f64 / on_disk as f64;
                if !(0.9..1.1).contains(&share) {
                    return Err(format!("{name}: stored otherwise ({share:.2})").into());
                }
                &|| Ok(stored.decode(threads)?)
            }
        };
        let laps = in_turn::<Box<dyn std::error::Error>>(
            self.rounds,
            &mut [
                &mut || floor(),
                &mut || session.compute(array.max(..)).map(drop).map_err(Into::into),
                &mut || session.compute(array.sum(..)).map(drop).map_err(Into::into),
                &mut || session.compute_into(&array, elements.view_mut()).map_err(Into::into),
            ],
        )?;
        let [floor, max, sum, into] = laps.try_into().expect("four runs");
        let rate = |laps: &Laps| bytes as f64 / laps.median() / 1e9;
        let both = |laps: &Laps| {
            format!("{:.2} {:.2}", laps.relative_to(&floor), laps.work_relative_to(&floor))
        };
        let shown = |laps: &Laps| format!("{:.2} ± {:2.0} %", rate(laps), 50.0 * laps.spread());
        println!(
            "{:<30} {:>13} {:>13} {:>6.2} {:>5.2} {:>12} {:>12} {:>6.2}",
            name,
            shown(&floor),
            shown(&max),
            max.relative_to(&floor),
            max.work_relative_to(&floor),
            both(&sum),
            both(&into),
            on_disk as f64 / bytes as f64,
        );
        drop(elements);
        let frames = self.frames::<T>(&location, &files, session)?;
        Ok(json!({
            "floor_gb_s": rounded(rate(&floor)), "floor_spread": rounded(floor.spread()),
            "max_gb_s": rounded(rate(&max)), "max_spread": rounded(max.spread()),
            "ratio": rounded(max.relative_to(&floor)), "work": rounded(max.work_relative_to(&floor)),
            "sum_ratio": rounded(sum.relative_to(&floor)),
            "sum_work": rounded(sum.work_relative_to(&floor)),
            "into_ratio": rounded(into.relative_to(&floor)),
            "into_work": rounded(into.work_relative_to(&floor)),
            "stored": rounded(on_disk as f64 / bytes as f64),
            "frame": frames,
        }))
    }

    /// Opens an array anew and computes one frame of it, from disk and from the page cache.
    fn frames<T: Element<Repr = T> + Kind>(
        &self,
        location: &Path,
        files: &[PathBuf],
        session: &Session,
    ) -> Result<Value> {
        let mut told = Map::new();
        for (name, cold) in [("cold", true), ("warm", false)] {
            let (mut opened, mut computed) = (Laps::default(), Laps::default());
            for round in 0..self.rounds {
                if cold {
                    data::forget(files)?;
                }
                let start = Start::now();
                let array = open(location)?.typed::<T>()?;
                opened.push(start);
                let at = |len: &usize| (len * (2 * round + 1) / (2 * self.rounds)).to_string();
                let shape = array.shape()?;
                let at: Vec<String> = shape[..shape.len() - 2].iter().map(at).collect();
                let start = Start::now();
                session.compute(array.slice_numpy(&at.join(", ")))?;
                computed.push(start);
            }
            println!("    {name}: opened in {opened}, a frame in {computed}");
            told.insert(format!("{name}_open_ms"), rounded(1e3 * opened.median()));
            told.insert(format!("{name}_frame_ms"), rounded(1e3 * computed.median()));
        }
        Ok(Value::Object(told))
    }

    /// Opens many small FITS files as one array.
    fn opening(&self, session: &Session) -> Result<Value> {
        let folder = Folder::new(&self.common.data, "files")?;
        stored_small(session, self.files, fits(folder.path()))?;
        let files = data::files_below(folder.path())?;
        let mut told = Map::new();
        for (name, cold) in [("cold", true), ("warm", false)] {
            let mut laps = Laps::default();
            for _ in 0..self.rounds {
                if cold {
                    data::forget(&files)?;
                }
                let start = Start::now();
                let array = open(&folder.path().join("x/*.fits"))?;
                laps.push(start);
                assert_eq!(array.shape()?[0] as u64, self.files);
            }
            println!("{} FITS files opened as one array, {name}: {laps}", self.files);
            told.insert(format!("{name}_ms"), rounded(1e3 * laps.median()));
        }
        Ok(Value::Object(told))
    }
}
