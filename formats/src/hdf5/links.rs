//! Groups: the links in them, and what a path leads to.
//!
//! Three kinds of storage hold links: symbol tables of old files, messages in the group's
//! header, and a fractal heap where there are many. Hard links lead to an object of the file,
//! soft ones to a path in it, external ones to a path in another file. Links may lead in
//! circles: how many are followed is bounded.

use super::{
    file::{Container, METADATA_LIMIT, translate},
    header::{Header, ObjectKind},
};
use crate::error::{ErrorKind, FormatError, Result};
use hdf5_reader::{
    btree_v1::collect_btree_v1_leaves_storage,
    btree_v2::{BTreeV2Header, BTreeV2Record, collect_btree_v2_records_storage},
    fractal_heap::{FractalHeap, FractalHeapDirectBlockCache},
    io::Cursor,
    local_heap::LocalHeap,
    messages::{
        HdfMessage, MSG_LINK, MSG_LINK_INFO, MSG_SYMBOL_TABLE,
        link::{self, LinkMessage, LinkTarget},
    },
    symbol_table::SymbolTableNode,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    rc::Rc,
};

/// Soft and external links that finding one object may follow.
const MAX_FOLLOWED: u32 = 64;
/// Parts of a path, at the most.
const MAX_PARTS: usize = 4096;

/// An object that a path led to.
pub(super) struct Place {
    /// The file that holds it: another one, where an external link was followed.
    pub(super) container: Rc<Container>,
    /// Its path in that file.
    pub(super) path: String,
    pub(super) address: u64,
}

/// What a walk meets.
pub(super) enum Met {
    /// A data set of the file.
    Dataset { path: String, header: Header },
    /// A link into another file.
    External { path: String, file: String, target: String },
    /// An object that cannot be looked at.
    Unreadable { path: String, error: FormatError },
}

impl Container {
    /// The address of the root group.
    pub(super) fn root(&self) -> Result<u64> {
        self.file.superblock().root_object_header_address().map_err(translate)
    }

    /// The links of a group, in the order in which they were made where that is known.
    pub(super) fn links(&self, group: &Header) -> Result<Vec<LinkMessage>> {
        let mut links = Vec::new();
        if let Some(table) = group.first(MSG_SYMBOL_TABLE) {
            if let HdfMessage::SymbolTable(table) = self.parse(MSG_SYMBOL_TABLE, table)? {
                self.symbols(table.btree_address, table.heap_address, &mut links)?;
            }
            return Ok(links);
        }
        for message in group.all(MSG_LINK) {
            if let HdfMessage::Link(link) = self.parse(MSG_LINK, message)? {
                links.push(link);
            }
        }
        if let Some(info) = group.first(MSG_LINK_INFO)
            && let HdfMessage::LinkInfo(info) = self.parse(MSG_LINK_INFO, info)?
        {
            let (offsets, lengths) = self.sizes();
            for object in self.dense(info.fractal_heap_address, info.btree_name_index_address)? {
                let mut cursor = Cursor::new(&object);
                let link = link::parse(&mut cursor, offsets, lengths, object.len());
                links.push(link.map_err(translate)?);
            }
        }
        if links.iter().all(|link| link.creation_order.is_some()) {
            links.sort_by_key(|link| link.creation_order);
        }
        Ok(links)
    }

    /// The links of an old group's symbol table.
    fn symbols(&self, tree: u64, heap: u64, links: &mut Vec<LinkMessage>) -> Result<()> {
        let (offsets, lengths) = self.sizes();
        let storage = self.file.storage();
        let heap =
            LocalHeap::parse_at_storage(storage, heap, offsets, lengths).map_err(translate)?;
        let names = self.read_long(heap.data_segment_address, heap.data_segment_size)?;
        let name = |offset: u64| -> Result<String> {
            let rest = usize::try_from(offset).ok().and_then(|offset| names.get(offset..));
            let rest = rest.ok_or_else(|| super::file::corrupt("a name lies outside its heap"))?;
            let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
            Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
        };
        let leaves =
            collect_btree_v1_leaves_storage(storage, tree, offsets, lengths, None, &[], None);
        for (_, address) in leaves.map_err(translate)? {
            let head = self.read(address, 8)?;
            let count = usize::from(u16::from_le_bytes([head[6], head[7]]));
            let bytes = self.read(address, 8 + count * (2 * usize::from(offsets) + 24))?;
            let node = SymbolTableNode::parse(&mut Cursor::new(&bytes), offsets, lengths);
            for entry in node.map_err(translate)?.entries {
                // What is cached of a soft link is where its target's path lies in the heap.
                let [a, b, c, d, ..] = entry.scratch;
                let target = match entry.cache_type {
                    2 => LinkTarget::Soft { path: name(u32::from_le_bytes([a, b, c, d]).into())? },
                    _ => LinkTarget::Hard { address: entry.object_header_address },
                };
                let name = name(entry.link_name_offset)?;
                links.push(LinkMessage { name, target, creation_order: None });
            }
        }
        Ok(())
    }

    /// The objects of a fractal heap that the B-tree at `index` lists; none where there is none.
    pub(super) fn dense(&self, heap: u64, index: u64) -> Result<Vec<Vec<u8>>> {
        let (offsets, lengths) = self.sizes();
        if Cursor::is_undefined_offset(heap, offsets) {
            return Ok(Vec::new());
        }
        let storage = self.file.storage();
        let heap =
            FractalHeap::parse_at_storage(storage, heap, offsets, lengths).map_err(translate)?;
        let tree =
            BTreeV2Header::parse_at_storage(storage, index, offsets, lengths).map_err(translate)?;
        let records =
            collect_btree_v2_records_storage(storage, &tree, offsets, lengths, None, &[], None)
                .map_err(translate)?;
        let mut blocks = FractalHeapDirectBlockCache::default();
        let mut object = |id: &[u8]| {
            heap.get_object_storage_cached(id, storage, offsets, lengths, &mut blocks)
                .map_err(translate)
        };
        let ids = records.iter().filter_map(|record| match record {
            BTreeV2Record::LinkNameHash { heap_id, .. }
            | BTreeV2Record::CreationOrder { heap_id, .. }
            | BTreeV2Record::AttributeNameHash { heap_id, .. }
            | BTreeV2Record::AttributeCreationOrder { heap_id, .. } => Some(heap_id),
            _ => None,
        });
        // Records may all name one object.
        let mut room = METADATA_LIMIT;
        ids.map(|id| {
            let object = object(id)?;
            room = room.checked_sub(object.len()).ok_or_else(|| {
                let message = format!("a heap of more than {METADATA_LIMIT} bytes of objects");
                FormatError::new(ErrorKind::Limit, message)
            })?;
            Ok(object)
        })
        .collect()
    }

    /// All data sets of the file, each once and by the path of its hard link, depth first in
    /// the order of links; soft links lead to what is met anyhow. `each` may end the walk.
    pub(super) fn walk(&self, mut each: impl FnMut(Met) -> Result<()>) -> Result<()> {
        // Groups and data sets may have several names, and groups may lie in themselves.
        let mut seen = HashSet::new();
        let mut waiting = vec![(String::new(), self.root()?)];
        while let Some((path, address)) = waiting.pop() {
            if !seen.insert(address) {
                continue;
            }
            let header = match self.header(address) {
                Ok(header) => header,
                Err(error) if path.is_empty() => return Err(error),
                Err(error) => {
                    each(Met::Unreadable { path, error })?;
                    continue;
                }
            };
            match header.kind() {
                ObjectKind::Dataset => each(Met::Dataset { path, header })?,
                ObjectKind::Other => {}
                ObjectKind::Group => {
                    let links = match self.links(&header) {
                        Ok(links) => links,
                        Err(error) if path.is_empty() => return Err(error),
                        Err(error) => {
                            each(Met::Unreadable { path, error })?;
                            continue;
                        }
                    };
                    for link in links.into_iter().rev() {
                        let path = format!("{path}/{}", link.name);
                        match link.target {
                            LinkTarget::Hard { address } => waiting.push((path, address)),
                            LinkTarget::External { filename, path: target } => {
                                each(Met::External { path, file: filename, target })?;
                            }
                            LinkTarget::Soft { .. } => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The name of the object at `address`: that of the first hard link to it.
    pub(super) fn name_of(&self, address: u64) -> Option<String> {
        let names = self.names.get_or_init(|| {
            let mut names = HashMap::new();
            let Ok(root) = self.root() else { return names };
            let mut waiting = vec![root];
            let mut seen = HashSet::from([root]);
            while let Some(address) = waiting.pop() {
                let group = self.header(address).ok().filter(|h| h.kind() == ObjectKind::Group);
                let links = group.and_then(|header| self.links(&header).ok());
                for link in links.unwrap_or_default() {
                    if let LinkTarget::Hard { address } = link.target
                        && seen.insert(address)
                    {
                        names.insert(address, link.name);
                        waiting.push(address);
                    }
                }
            }
            names
        });
        names.get(&address).cloned()
    }

    /// What `path` leads to, links of every kind followed.
    pub(super) fn find(self: &Rc<Container>, path: &str) -> Result<Place> {
        let mut place =
            Place { container: self.clone(), path: String::new(), address: self.root()? };
        let mut parts = parts_of(path);
        let mut followed = 0;
        while let Some(part) = parts.pop_front() {
            let missing = || {
                let message = format!("there is no data set /{}", path.trim_matches('/'));
                FormatError::new(ErrorKind::NotFound, message)
            };
            let header = place.container.header(place.address)?;
            if header.kind() != ObjectKind::Group {
                return Err(missing());
            }
            let links = place.container.links(&header)?;
            let link = links.into_iter().find(|link| link.name == part).ok_or_else(missing)?;
            if !matches!(link.target, LinkTarget::Hard { .. }) {
                followed += 1;
                if followed > MAX_FOLLOWED || parts.len() > MAX_PARTS {
                    return Err(FormatError::new(
                        ErrorKind::Corrupt,
                        format!("links lead in circles at {}/{part}", place.path),
                    ));
                }
            }
            match link.target {
                LinkTarget::Hard { address } => {
                    place.path = format!("{}/{part}", place.path);
                    place.address = address;
                }
                LinkTarget::Soft { path } => {
                    if path.starts_with('/') {
                        (place.path, place.address) = (String::new(), place.container.root()?);
                    }
                    prepend(&mut parts, &path);
                }
                LinkTarget::External { filename, path } => {
                    let file = place.container.beside(&filename);
                    let opened = Container::open(&file).map_err(|error| {
                        let link = format!("the link {}/{part} leads there", place.path);
                        error.at_path(&file).help(link)
                    });
                    place.container = Rc::new(opened?);
                    (place.path, place.address) = (String::new(), place.container.root()?);
                    prepend(&mut parts, &path);
                }
            }
        }
        Ok(place)
    }

    /// The file that another one names: beside the one that names it, unless it tells a whole
    /// path and there is one.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        let name = Path::new(name);
        let folder = self.path.parent().unwrap_or(Path::new(""));
        if name.is_absolute() && !name.exists() {
            // The library, too, looks beside the file then: folders get moved.
            return folder.join(name.file_name().unwrap_or_default());
        }
        folder.join(name)
    }
}

/// The names in a path, outermost first.
fn parts_of(path: &str) -> VecDeque<String> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}

fn prepend(parts: &mut VecDeque<String>, path: &str) {
    for part in parts_of(path).into_iter().rev() {
        parts.push_front(part);
    }
}
