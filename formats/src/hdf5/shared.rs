//! Messages that lie elsewhere than in the header that has them: committed datatypes in
//! headers of their own, and what a file was told to keep once in heaps of shared messages.
//!
//! Of the latter a reference holds the place in the heap, so the lists and B-trees that
//! find equal messages for a writer are not looked at. Layouts are those of the file format
//! specification, version 3, sections III.G ("Shared Object Header Message Table"), IV.A.2.b
//! ("Shared Messages") and IV.A.2.m ("The Attribute Message").

use super::{
    file::{Container, corrupt, translate, unsupported},
    header::SHARED,
};
use crate::error::Result;
use hdf5_reader::{
    checksum::jenkins_lookup3,
    fractal_heap::FractalHeap,
    io::Cursor,
    messages::{
        MSG_DATASPACE, MSG_DATATYPE, MSG_FILL_VALUE, MSG_FILL_VALUE_OLD, MSG_SHARED_TABLE,
        attribute::{self, AttributeMessage},
        shared::{self, SharedMessage},
    },
};
use std::borrow::Cow;

/// A heap of shared messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedHeap {
    /// A bit for each kind of message that lies there.
    kinds: u16,
    address: u64,
}

impl Container {
    /// The bytes of the message of this kind that `reference` refers to.
    pub(super) fn shared(&self, kind: u16, reference: &[u8]) -> Result<Vec<u8>> {
        let (offsets, lengths) = self.sizes();
        let mut cursor = Cursor::new(reference);
        match shared::parse(&mut cursor, kind, offsets, lengths, reference.len()) {
            Err(error) => Err(translate(error)),
            Ok(SharedMessage::SharedInOhdr { address, .. }) => {
                let mut committed = self.messages(address)?.into_iter();
                committed
                    .find(|(flags, message)| flags & SHARED == 0 && message.kind == kind)
                    .map(|(_, message)| message.bytes)
                    .ok_or_else(|| corrupt("a shared message is not where it should be"))
            }
            Ok(SharedMessage::SharedInSohm { heap_id, .. }) => {
                let heap = self.shared_heap(kind)?;
                let storage = self.file.storage();
                FractalHeap::parse_at_storage(storage, heap, offsets, lengths)
                    .and_then(|heap| heap.get_object_storage(&heap_id, storage, offsets, lengths))
                    .map_err(translate)
            }
        }
    }

    /// The address of the heap for shared messages of this kind.
    fn shared_heap(&self, kind: u16) -> Result<u64> {
        let heaps = match self.shared_heaps.get() {
            Some(heaps) => heaps,
            None => {
                let heaps = self.read_shared_heaps()?;
                self.shared_heaps.get_or_init(|| heaps)
            }
        };
        // Fill values of the old kind lie with those of the new one.
        let kind = if kind == MSG_FILL_VALUE_OLD { MSG_FILL_VALUE } else { kind };
        let bit = 1u16.checked_shl(kind.into()).unwrap_or(0);
        let heap = heaps.iter().find(|heap| heap.kinds & bit != 0);
        let missing = || corrupt(format!("the file has no heap of shared messages of kind {kind}"));
        heap.map(|heap| heap.address).ok_or_else(missing)
    }

    fn read_shared_heaps(&self) -> Result<Vec<SharedHeap>> {
        let Some(extension) = self.file.superblock().extension_address else {
            return Ok(Vec::new());
        };
        let extension = self.messages(extension)?;
        let Some((_, table)) = extension.iter().find(|(_, m)| m.kind == MSG_SHARED_TABLE) else {
            return Ok(Vec::new());
        };
        // Its version, the table's address, and how many heaps there are. (`hdf5-reader` takes
        // both the message and the table to be longer than the library writes them.)
        let (offsets, _) = self.sizes();
        let mut cursor = Cursor::new(&table.bytes);
        let address = cursor.read_u8().and_then(|_| cursor.read_offset(offsets));
        let address = address.map_err(translate)?;
        let count = usize::from(cursor.read_u8().map_err(translate)?);
        // Version, sort of index, kinds, least size, three numbers; two addresses.
        let entry = 14 + 2 * usize::from(offsets);
        let len = 4 + entry * count;
        let bytes = self.read(address, len + 4)?;
        let (body, checksum) = bytes.split_at(len);
        let entries = body.strip_prefix(b"SMTB");
        let entries = entries.filter(|_| checksum == jenkins_lookup3(body).to_le_bytes());
        let damaged = || corrupt("the table of shared messages is damaged");
        let heap = |entry: &[u8]| {
            if entry[0] != 0 {
                let message = format!("a table of shared messages of version {}", entry[0]);
                return Err(unsupported(message));
            }
            let mut address = Cursor::new(&entry[14 + usize::from(offsets)..]);
            Ok(SharedHeap {
                kinds: u16::from_le_bytes([entry[2], entry[3]]),
                address: address.read_offset(offsets).map_err(translate)?,
            })
        };
        entries.ok_or_else(damaged)?.chunks_exact(entry).map(heap).collect()
    }

    /// Parses an attribute, whose datatype and dataspace may be shared as well.
    pub(super) fn attribute(&self, bytes: &[u8]) -> Result<AttributeMessage> {
        let (offsets, lengths) = self.sizes();
        let whole = self.unshared(bytes)?;
        attribute::parse(&mut Cursor::new(&whole), offsets, lengths, whole.len()).map_err(translate)
    }

    /// The attribute with the datatype and the dataspace that it refers to in their places.
    fn unshared<'b>(&self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>> {
        let [version @ (2 | 3), flags, rest @ ..] = bytes else { return Ok(bytes.into()) };
        let (Some(sizes), true) = (rest.first_chunk::<6>(), flags & 3 != 0) else {
            return Ok(bytes.into());
        };
        let head = if *version == 3 { 9 } else { 8 };
        let [name, datatype, dataspace] =
            [0, 2, 4].map(|at| usize::from(u16::from_le_bytes([sizes[at], sizes[at + 1]])));
        let cut = || corrupt("an attribute is cut short");
        let (start, rest) = bytes.split_at_checked(head + name).ok_or_else(cut)?;
        let (datatype, rest) = rest.split_at_checked(datatype).ok_or_else(cut)?;
        let (dataspace, data) = rest.split_at_checked(dataspace).ok_or_else(cut)?;
        let place = |bit: u8, kind: u16, part: &'b [u8]| -> Result<Cow<'b, [u8]>> {
            if flags & bit == 0 { Ok(part.into()) } else { self.shared(kind, part).map(Cow::from) }
        };
        let datatype = place(1, MSG_DATATYPE, datatype)?;
        let dataspace = place(2, MSG_DATASPACE, dataspace)?;
        let mut whole = [start, &datatype, &dataspace, data].concat();
        whole[1] = 0;
        for (at, part) in [(4, datatype), (6, dataspace)] {
            let len = u16::try_from(part.len()).map_err(|_| cut())?;
            whole[at..at + 2].copy_from_slice(&len.to_le_bytes());
        }
        Ok(whole.into())
    }
}
