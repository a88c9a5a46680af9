//! What no program can be faster than on the same threads: copying bytes out of the page cache,
//! and decoding bytes that are in memory.

use freeboard_formats::{
    DType, FormatError,
    codecs::{self, Codec},
};
use std::{
    fs::File,
    hint::black_box,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Bytes that are read at a time: what stays in a second-level cache until it is converted.
const PIECE: usize = 256 << 10;

/// Calls `work` for each of `0..units`, on so many threads that each take the next one; `state`
/// makes what a thread keeps.
///
/// # Errors
/// The error of a thread; others go on.
pub fn on_threads<S, E: Send>(
    threads: usize,
    units: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let all = || {
        let mut state = state();
        loop {
            let unit = next.fetch_add(1, Ordering::Relaxed);
            if unit >= units {
                return Ok(());
            }
            work(&mut state, unit)?;
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(all)).collect();
        let own = all();
        let joined = others.into_iter().map(|other| other.join().expect("no thread panics"));
        joined.fold(own, Result::and)
    })
}

/// Plain FITS images of one number of bytes each, open.
#[derive(Debug)]
pub struct Plain {
    files: Vec<(File, u64)>,
    bytes: usize,
    dtype: DType,
}

impl Plain {
    /// The images of `dtype` in `files`, of `bytes` each behind a header.
    ///
    /// # Errors
    /// If a file cannot be opened.
    pub fn of(dtype: DType, files: &[PathBuf], bytes: usize) -> io::Result<Plain> {
        Ok(Plain { files: open(files, bytes)?, bytes, dtype })
    }

    /// Reads all of them into a buffer a thread, and converts them there.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn copy(&self, threads: usize) -> io::Result<()> {
        on_threads(
            threads,
            self.files.len(),
            || vec![0; PIECE],
            |buffer, i| {
                let (file, start) = &self.files[i];
                for at in (0..self.bytes).step_by(PIECE) {
                    let piece = &mut buffer[..PIECE.min(self.bytes - at)];
                    file.read_exact_at(piece, start + at as u64)?;
                    codecs::from_fits(self.dtype, piece);
                    black_box(piece);
                }
                Ok(())
            },
        )
    }
}

/// The files, and where the images begin in them: data fill whole blocks at the end.
fn open(files: &[PathBuf], bytes: usize) -> io::Result<Vec<(File, u64)>> {
    const BLOCK: u64 = 2880;
    let opened = |path: &Path| {
        let file = File::open(path)?;
        let start = file.metadata()?.len() - (bytes as u64).next_multiple_of(BLOCK);
        Ok((file, start))
    };
    files.iter().map(|path| opened(path)).collect()
}

/// Chunks in memory, each of them in one or more stored pieces of one decoded size.
#[derive(Debug)]
pub struct Stored {
    codec: Codec,
    chunks: Vec<Vec<Vec<u8>>>,
    /// Bytes of a piece once it is decoded.
    piece: usize,
}

impl Stored {
    /// Encodes the elements of `chunks`, in pieces of `piece` bytes.
    ///
    /// # Errors
    /// If the codec cannot.
    pub fn of<C: AsRef<[u8]> + Sync>(
        codec: Codec,
        chunks: &[C],
        piece: usize,
    ) -> Result<Stored, FormatError> {
        let pieces = |chunk: &C| {
            chunk.as_ref().chunks(piece).map(|elements| codec.encode(elements)).collect()
        };
        Ok(Stored { codec, chunks: chunks.iter().map(pieces).collect::<Result<_, _>>()?, piece })
    }

    /// Stored bytes of all.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().flatten().map(|piece| piece.len() as u64).sum()
    }

    /// Decodes all into a buffer a thread.
    ///
    /// # Errors
    /// If a piece cannot be decoded.
    pub fn decode(&self, threads: usize) -> Result<(), FormatError> {
        on_threads(
            threads,
            self.chunks.len(),
            || (vec![0; self.piece], vec![0; self.piece]),
            |(spare, out), i| {
                for stored in &self.chunks[i] {
                    self.codec.decode(stored, spare, out)?;
                    black_box(&mut *out);
                }
                Ok(())
            },
        )
    }
}
