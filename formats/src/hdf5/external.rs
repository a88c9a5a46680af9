//! External storage: elements in C order that lie in runs of other files.
//!
//! The files are named in the data set's header. They are read as they are, so a name may
//! only lead to a file beside the one that names it or in a folder there: else a stranger's file
//! could have any other read as numbers. What the files are too short for is zeros, as the
//! library has it.

use super::file::{Container, corrupt, translate};
use crate::{
    error::{ErrorKind, FormatError, Result},
    files::{FileCache, Stamp},
    source::Fingerprint,
    stored::{ReadAt, StoredFile},
};
use hdf5_reader::{
    local_heap::LocalHeap,
    messages::{HdfMessage, MSG_EXTERNAL_FILES},
};
use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// One run of bytes.
#[derive(Debug)]
struct Slot {
    path: PathBuf,
    /// What the file was when the data set was opened, if it was there.
    stamp: Option<Stamp>,
    /// Where it begins in the file.
    offset: u64,
    /// Where it ends among the bytes of the array.
    end: u64,
}

/// The runs, in order.
#[derive(Debug)]
pub(super) struct Slots(Vec<Slot>);

impl Slots {
    /// The runs that a header's message tells of, which must hold `bytes` bytes.
    pub(super) fn open(container: &Container, message: &[u8], bytes: u64) -> Result<Slots> {
        let HdfMessage::ExternalFiles(files) = container.parse(MSG_EXTERNAL_FILES, message)? else {
            return Err(corrupt("the list of external files is damaged"));
        };
        let (offsets, lengths) = container.sizes();
        let storage = container.file.storage();
        let heap = LocalHeap::parse_at_storage(storage, files.heap_address, offsets, lengths)
            .map_err(translate)?;
        let folder = container.path.parent().unwrap_or(Path::new(""));
        let mut end = 0u64;
        let mut slots = Vec::new();
        for slot in files.slots {
            let name = heap.get_string_storage(slot.name_offset, storage).map_err(translate)?;
            let inside = Path::new(&name)
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if !inside || name.is_empty() {
                // Not `Unsupported`: the C library, asked instead, would read there.
                return Err(FormatError::new(
                    ErrorKind::Invalid,
                    format!("its elements lie in {name:?}, outside the folder of the file"),
                )
                .help("put that file beside this one, and name it without a folder"));
            }
            // The last run may be as long as it has to be.
            end = end.saturating_add(slot.size);
            let path = folder.join(name);
            let stamp = Stamp::at(&path).ok();
            slots.push(Slot { path, stamp, offset: slot.offset, end });
        }
        if end < bytes {
            return Err(corrupt(format!("external files have room for {end} bytes of {bytes}")));
        }
        Ok(Slots(slots))
    }

    /// The bytes of the array, read by position.
    pub(super) fn bytes<'a>(&'a self, files: &'a FileCache) -> Bytes<'a> {
        Bytes { slots: &self.0, files }
    }

    /// Changes with each of the files.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint> {
        self.0.iter().try_fold(Fingerprint::default(), |all, Slot { path, stamp, .. }| {
            let stamp = stamp.map_or_else(|| Stamp::at(path), Ok)?;
            Ok(all.and(stamp.fingerprint(path)))
        })
    }

    /// The number of runs.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The runs as one file.
pub(super) struct Bytes<'a> {
    slots: &'a [Slot],
    files: &'a FileCache,
}

impl ReadAt for Bytes<'_> {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let number = self.slots.partition_point(|slot| slot.end <= at);
        let Some(slot) = self.slots.get(number) else { return Ok(0) };
        let start = number.checked_sub(1).map_or(0, |before| self.slots[before].end);
        let len = (slot.end - at).min(buffer.len() as u64) as usize;
        let mut read = || {
            let place = slot.offset.checked_add(at - start);
            let place = place.ok_or_else(|| corrupt("an external run beyond what a file has"))?;
            let file = match slot.stamp {
                Some(stamp) => self.files.open_unchanged(&slot.path, stamp)?,
                None => self.files.open(&slot.path)?,
            };
            fetch(&file, &mut buffer[..len], place)
                .map_err(|e| FormatError::io(e).at_path(&slot.path))
        };
        read().map_err(FormatError::into_io)?;
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.slots.last().map_or(0, |last| last.end))
    }
}

/// Fills `bytes` from `at` on, with zeros behind the end of the file.
fn fetch(file: &StoredFile, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.read_at(bytes, at) {
            Ok(0) => {
                bytes.fill(0);
                return Ok(());
            }
            Ok(len) => {
                bytes = &mut bytes[len..];
                at += len as u64;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
