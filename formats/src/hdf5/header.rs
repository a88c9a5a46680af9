//! Object headers as the raw messages that they are made of.
//!
//! A header whose every message is not understood can still be named, listed and refused with
//! a reason; so messages are taken apart here and parsed one by one by whoever asks for them
//! (`hdf5-reader` parses a header as a whole or not at all). Layouts are those of the file
//! format specification, version 3, sections IV.A.1 ("Object Headers") and IV.A.2.

use super::file::{Container, corrupt, translate, unsupported};
use crate::error::{ErrorKind, FormatError, Result};
use hdf5_reader::{
    checksum::jenkins_lookup3,
    io::Cursor,
    messages::{
        HdfMessage, MSG_CONTINUATION, MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_GROUP_INFO, MSG_LINK,
        MSG_LINK_INFO, MSG_NIL, MSG_SYMBOL_TABLE, parse_message,
    },
};
use std::collections::HashSet;

/// Bytes of one header with all its continuations, at the most. Real ones have a few KiB.
const LIMIT: usize = 64 << 20;
/// The bit of a message's flags that marks it as a reference to where it lies.
pub(super) const SHARED: u8 = 2;

/// One message, as it lies in the file.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) bytes: Vec<u8>,
}

/// The messages of one object.
#[derive(Debug)]
pub(super) struct Header(Vec<Message>);

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Group,
    Dataset,
    /// A committed datatype, or something newer than this reader.
    Other,
}

impl Header {
    /// The first message of this kind.
    pub(super) fn first(&self, kind: u16) -> Option<&[u8]> {
        self.all(kind).next()
    }

    /// All messages of this kind.
    pub(super) fn all(&self, kind: u16) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |m| m.kind == kind).map(|m| &m.bytes[..])
    }

    pub(super) fn kind(&self) -> ObjectKind {
        let has = |kind| self.first(kind).is_some();
        if has(MSG_DATASPACE) && has(MSG_DATA_LAYOUT) {
            ObjectKind::Dataset
        } else if [MSG_SYMBOL_TABLE, MSG_LINK_INFO, MSG_LINK, MSG_GROUP_INFO].into_iter().any(has) {
            ObjectKind::Group
        } else {
            ObjectKind::Other
        }
    }
}

impl Container {
    /// Parses one message.
    pub(super) fn parse(&self, kind: u16, bytes: &[u8]) -> Result<HdfMessage> {
        let (offsets, lengths) = self.sizes();
        let mut cursor = Cursor::new(bytes);
        parse_message(kind, bytes.len(), &mut cursor, offsets, lengths).map_err(translate)
    }

    /// The header of the object at `address`, shared messages put where they are meant.
    pub(super) fn header(&self, address: u64) -> Result<Header> {
        let messages = self.messages(address)?;
        let resolve = |(flags, message): (u8, Message)| match flags & SHARED {
            0 => Ok(message),
            _ => {
                self.shared(message.kind, &message.bytes).map(|bytes| Message { bytes, ..message })
            }
        };
        messages.into_iter().map(resolve).collect::<Result<_>>().map(Header)
    }

    /// The messages of the object at `address` with their flags, of all its blocks.
    pub(super) fn messages(&self, address: u64) -> Result<Vec<(u8, Message)>> {
        let mut blocks = Blocks { messages: Vec::new(), waiting: Vec::new(), room: LIMIT };
        let signature = self.read(address, 4)?;
        let tracked = match &signature[..] {
            b"OHDR" => self.first_of_version_2(address, &mut blocks)?,
            _ => self.first_of_version_1(address, &mut blocks)?,
        };
        let mut seen = HashSet::new();
        while let Some((address, len)) = blocks.waiting.pop() {
            if !seen.insert(address) {
                return Err(corrupt("an object header continues in itself"));
            }
            let bytes = self.read(address, blocks.take(len)?)?;
            match tracked {
                None => self.split_version_1(&bytes, &mut blocks)?,
                Some(tracked) => {
                    let body = bytes.strip_prefix(b"OCHK").and_then(|_| checked(&bytes));
                    let body = body.ok_or_else(damaged)?;
                    self.split_version_2(&body[4..], tracked, &mut blocks)?;
                }
            }
        }
        Ok(blocks.messages)
    }

    /// The first block of a header of version 1.
    fn first_of_version_1(&self, address: u64, blocks: &mut Blocks) -> Result<Option<bool>> {
        let prefix = self.read(address, 16)?;
        if prefix[0] != 1 {
            return Err(corrupt(format!("there is no object header at {address}")));
        }
        let len = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
        let bytes = self.read(address + 16, blocks.take(len.into())?)?;
        self.split_version_1(&bytes, blocks)?;
        Ok(None)
    }

    /// The first block of a header of version 2; whether it tracks the order of attributes.
    fn first_of_version_2(&self, address: u64, blocks: &mut Blocks) -> Result<Option<bool>> {
        let prefix = self.read(address, 6)?;
        if prefix[4] != 2 {
            return Err(unsupported(format!("object headers of version {}", prefix[4])));
        }
        let flags = prefix[5];
        // Times, and the numbers of attributes at which their storage changes.
        let skipped = 16 * usize::from(flags >> 5 & 1) + 4 * usize::from(flags >> 4 & 1);
        let (start, width) = (6 + skipped, 1 << (flags & 3));
        let prefix = self.read(address, start + width)?;
        let len = Cursor::new(&prefix[start..]).read_uvar(width).map_err(translate)?;
        let whole = len.saturating_add((start + width + 4) as u64);
        let bytes = self.read(address, blocks.take(whole)?)?;
        let body = checked(&bytes).ok_or_else(damaged)?;
        let tracked = flags & 4 != 0;
        self.split_version_2(&body[start + width..], tracked, blocks)?;
        Ok(Some(tracked))
    }

    fn split_version_1(&self, mut bytes: &[u8], blocks: &mut Blocks) -> Result<()> {
        while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
            let kind = u16::from_le_bytes([head[0], head[1]]);
            let len = u16::from_le_bytes([head[2], head[3]]);
            let (body, rest) = rest.split_at_checked(len.into()).ok_or_else(damaged)?;
            bytes = rest;
            self.keep(kind, head[4], body, blocks)?;
        }
        Ok(())
    }

    fn split_version_2(&self, mut bytes: &[u8], tracked: bool, blocks: &mut Blocks) -> Result<()> {
        while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
            let len = u16::from_le_bytes([head[1], head[2]]);
            // Fewer bytes than an envelope are a gap.
            let Some(rest) = rest.get(if tracked { 2.. } else { 0.. }) else { break };
            let (body, rest) = rest.split_at_checked(len.into()).ok_or_else(damaged)?;
            bytes = rest;
            self.keep(head[0].into(), head[3], body, blocks)?;
        }
        Ok(())
    }

    fn keep(&self, kind: u16, flags: u8, body: &[u8], blocks: &mut Blocks) -> Result<()> {
        match kind {
            MSG_NIL => {}
            MSG_CONTINUATION => {
                if let HdfMessage::Continuation(next) = self.parse(kind, body)? {
                    blocks.waiting.push((next.offset, next.length));
                }
            }
            _ => blocks.messages.push((flags, Message { kind, bytes: body.to_vec() })),
        }
        Ok(())
    }
}

/// The blocks of a header as they are read.
struct Blocks {
    messages: Vec<(u8, Message)>,
    /// Where it continues: addresses and lengths.
    waiting: Vec<(u64, u64)>,
    /// Bytes that may yet be read.
    room: usize,
}

impl Blocks {
    fn take(&mut self, len: u64) -> Result<usize> {
        let len = usize::try_from(len).ok().filter(|&len| len <= self.room);
        let len = len.ok_or_else(|| {
            FormatError::new(ErrorKind::Limit, "an object header claims more than 64 MiB")
        })?;
        self.room -= len;
        Ok(len)
    }
}

/// What lies before the checksum at the end, if it agrees.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (body, stored) = bytes.split_last_chunk::<4>()?;
    (jenkins_lookup3(body) == u32::from_le_bytes(*stored)).then_some(body)
}

fn damaged() -> FormatError {
    corrupt("an object header is damaged: its lengths or its checksum do not agree")
}
