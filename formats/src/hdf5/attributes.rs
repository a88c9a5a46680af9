//! Attributes of an object as JSON values, and axis names among them.
//!
//! Numbers, strings, arrays, compound values (as objects) and values of variable length are
//! kept. References, and what cannot be decoded, are left out: they say nothing that JSON can
//! hold. Floats that JSON has no number for become the strings `NaN`, `inf` and `-inf`.

use super::{
    file::{Container, corrupt, translate},
    header::Header,
};
use crate::{
    error::Result,
    source::{Attributes, Meta},
};
use hdf5_reader::{
    ByteOrder, Datatype, StringSize,
    global_heap::GlobalHeapCollection,
    io::Cursor,
    messages::{
        HdfMessage, MSG_ATTRIBUTE, MSG_ATTRIBUTE_INFO, attribute::AttributeMessage,
        dataspace::DataspaceType,
    },
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The attribute in which HDF5's dimension scales keep the names of axes.
pub(super) const AXIS_NAMES: &str = "DIMENSION_LABELS";
/// The attribute that refers to the scales of each axis.
pub(super) const SCALES: &str = "DIMENSION_LIST";
/// The attribute of a scale that refers to the axes it is attached to.
const ATTACHED: &str = "REFERENCE_LIST";
/// Values of one attribute, at the most; a longer one is data, not a remark.
const MAX_VALUES: u64 = 1 << 16;
/// Bytes that the values of all attributes of one object take, at the most: references in a
/// small file may all lead to one long text.
const MAX_BYTES: u64 = 16 << 20;
/// How deep types may lie in each other.
const MAX_DEPTH: u32 = 16;

/// Reads the attributes of an object into `meta`, with the names of axes that they tell.
pub(super) fn read(container: &Container, header: &Header, meta: &mut Meta) {
    let mut attributes = Attributes::new();
    let mut left = MAX_BYTES;
    for message in messages(container, header) {
        if message.name == SCALES {
            name_axes(container, &message, meta);
            continue;
        }
        let Some(value) = value_of(container, &message, &mut left) else {
            tracing::debug!(name = message.name, "attribute left out");
            continue;
        };
        match (&value, message.name.as_str()) {
            (Value::Array(names), AXIS_NAMES) if names.len() == meta.axes.len() => {
                for (axis, name) in meta.axes.iter_mut().zip(names) {
                    if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
                        *axis = name.to_owned();
                    }
                }
            }
            // What only says how scales and arrays refer to each other.
            (_, ATTACHED | "_Netcdf4Coordinates" | "_Netcdf4Dimid" | "_nc3_strict") => {}
            _ => {
                attributes.insert(message.name, value);
            }
        }
    }
    meta.attributes = Arc::new(attributes);
}

/// What netCDF-4 says in the `NAME` of a scale that only stands for a dimension.
pub(super) const ONLY_DIMENSION: &str = "This is a netCDF dimension but not a netCDF variable.";

/// How a data set takes part in naming axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Not at all: an array.
    Array,
    /// It holds the coordinates of an axis of others.
    Scale,
    /// It has no values, only a name and a length.
    Dimension,
}

/// The role of a data set.
pub(super) fn role(container: &Container, header: &Header) -> Role {
    let messages = messages(container, header);
    let text = |name: &str| {
        let message = messages.iter().find(|message| message.name == name)?;
        value_of(container, message, &mut { MAX_BYTES })
    };
    if text("CLASS").and_then(|class| Some(class.as_str()? == "DIMENSION_SCALE")) != Some(true) {
        return Role::Array;
    }
    match text("NAME").is_some_and(|n| n.as_str().is_some_and(|n| n.starts_with(ONLY_DIMENSION))) {
        true => Role::Dimension,
        false => Role::Scale,
    }
}

/// All attributes of an object: in its header, or in a heap where there are many.
fn messages(container: &Container, header: &Header) -> Vec<AttributeMessage> {
    let dense = header.first(MSG_ATTRIBUTE_INFO).and_then(|info| {
        let HdfMessage::AttributeInfo(info) = container.parse(MSG_ATTRIBUTE_INFO, info).ok()?
        else {
            return None;
        };
        container.dense(info.fractal_heap_address, info.btree_name_index_address).ok()
    });
    let dense = dense.unwrap_or_default();
    let all = header.all(MSG_ATTRIBUTE).chain(dense.iter().map(|object| &object[..]));
    all.filter_map(|bytes| {
        container
            .attribute(bytes)
            .map_err(|error| tracing::debug!(%error, "attribute left out"))
            .ok()
    })
    .collect()
}

/// The addresses of all scales of an array's axes.
pub(super) fn scales(container: &Container, header: &Header) -> Vec<u64> {
    let (offsets, _) = container.sizes();
    let lists = messages(container, header).into_iter().filter(|m| m.name == SCALES);
    let mut scales = Vec::new();
    for list in lists {
        for entry in list.raw_data.chunks_exact(8 + usize::from(offsets)) {
            let entry = sequence(container, entry, usize::from(offsets), &mut { MAX_BYTES });
            scales.extend(addresses(&entry.unwrap_or_default(), offsets.into(), offsets));
        }
    }
    scales
}

/// The addresses of the arrays that a scale is attached to; `None` if that is not known.
pub(super) fn scaled(container: &Container, scale: &Header) -> Option<Vec<u64>> {
    let messages = messages(container, scale);
    let Some(list) = messages.iter().find(|message| message.name == ATTACHED) else {
        return Some(Vec::new());
    };
    let (offsets, _) = container.sizes();
    let count = usize::try_from(list.dataspace.num_elements().ok()?).ok()?;
    // Pairs of an array's address and the number of its axis.
    let pair = list.raw_data.len().checked_div(count)?;
    (pair >= usize::from(offsets)).then(|| addresses(&list.raw_data, pair, offsets).collect())
}

/// The addresses that elements of `size` bytes begin with.
fn addresses(bytes: &[u8], size: usize, offsets: u8) -> impl Iterator<Item = u64> {
    bytes
        .chunks_exact(size)
        .filter_map(move |element| Cursor::new(element).read_offset(offsets).ok())
}

/// Names each axis as the dimension scale that stands for it: the last part of its path,
/// which is the scale's own name in netCDF-4 and h5py.
fn name_axes(container: &Container, list: &AttributeMessage, meta: &mut Meta) {
    let Datatype::VarLen { .. } = &list.datatype else { return };
    let (offsets, _) = container.sizes();
    let size = 8 + usize::from(offsets);
    for (axis, entry) in meta.axes.iter_mut().zip(list.raw_data.chunks_exact(size)) {
        // The first scale of the axis, by the address of its object.
        let scale = sequence(container, entry, usize::from(offsets), &mut { MAX_BYTES });
        let Some(scale) = scale else { continue };
        let Ok(address) = Cursor::new(&scale).read_offset(offsets) else { continue };
        if let Some(name) = container.scale_name(address)
            && axis.is_empty()
        {
            *axis = name;
        }
    }
}

impl Container {
    /// The name of the dimension scale at `address`: what it says itself, unless that is
    /// netCDF's remark that there is no variable of that name.
    fn scale_name(&self, address: u64) -> Option<String> {
        let header = self.header(address).ok()?;
        let name = messages(self, &header).into_iter().find(|message| message.name == "NAME")?;
        let name = value_of(self, &name, &mut { MAX_BYTES })?;
        let name = name.as_str()?;
        if !name.is_empty() && !name.starts_with(ONLY_DIMENSION) {
            return Some(name.rsplit('/').next().unwrap_or(name).to_owned());
        }
        self.name_of(address)
    }
}

/// The value of an attribute, of at most `left` bytes, which it takes from there.
fn value_of(container: &Container, message: &AttributeMessage, left: &mut u64) -> Option<Value> {
    let space = &message.dataspace;
    let shape = match space.dataspace_type {
        DataspaceType::Scalar => &[][..],
        DataspaceType::Null => return None,
        DataspaceType::Simple => &space.dims[..],
    };
    let count = space.num_elements().ok().filter(|&n| n <= MAX_VALUES)?;
    let count = usize::try_from(count).ok()?;
    let size = message.raw_data.len().checked_div(count).unwrap_or(0);
    let mut decoder = Decoder { container, left };
    let mut values = Vec::with_capacity(count);
    for i in 0..count {
        let bytes = message.raw_data.get(i * size..(i + 1) * size)?;
        values.push(decoder.value(&message.datatype, bytes, 0)?);
    }
    nest(&mut values.into_iter(), shape, left)
}

/// Takes `bytes` from what is `left`, if there are as many.
fn take(left: &mut u64, bytes: usize) -> Option<()> {
    *left = left.checked_sub(bytes as u64)?;
    Some(())
}

struct Decoder<'a> {
    container: &'a Container,
    /// Bytes that values may yet take.
    left: &'a mut u64,
}

impl Decoder<'_> {
    /// One element of the type `datatype`, which begins at the start of `bytes`.
    fn value(&mut self, datatype: &Datatype, bytes: &[u8], depth: u32) -> Option<Value> {
        take(self.left, size_of::<Value>())?;
        if depth > MAX_DEPTH {
            return None;
        }
        let number = |size: u8, order: &ByteOrder, signed: bool| -> Option<i128> {
            let bytes = bytes.get(..usize::from(size)).filter(|b| (1..=8).contains(&b.len()))?;
            let append = |value: i128, &byte: &u8| value << 8 | i128::from(byte);
            let value = match order {
                ByteOrder::BigEndian => bytes.iter().fold(0, append),
                ByteOrder::LittleEndian => bytes.iter().rev().fold(0, append),
            };
            let unused = 128 - 8 * u32::from(size);
            Some(if signed { value << unused >> unused } else { value })
        };
        let integer = |value: i128| -> Option<Value> {
            i64::try_from(value)
                .map(Value::from)
                .or_else(|_| u64::try_from(value).map(Value::from))
                .ok()
        };
        match datatype {
            Datatype::FixedPoint { size, signed, byte_order } => {
                integer(number(*size, byte_order, *signed)?)
            }
            Datatype::Bitfield { size, byte_order } => integer(number(*size, byte_order, false)?),
            Datatype::FloatingPoint { size, byte_order } => {
                let bits = number(*size, byte_order, false)? as u64;
                match size {
                    4 => Some(float(f32::from_bits(bits as u32).into())),
                    8 => Some(float(f64::from_bits(bits))),
                    _ => None,
                }
            }
            Datatype::Enum { base, members } => {
                let value = self.value(base, bytes, depth + 1)?;
                let boolean = members.len() == 2
                    && members.iter().all(|m| matches!(m.name.as_str(), "FALSE" | "TRUE"));
                Some(if boolean { Value::from(value != 0) } else { value })
            }
            Datatype::String { size: StringSize::Fixed(size), .. } => {
                let bytes = bytes.get(..*size as usize)?;
                take(self.left, bytes.len())?;
                text(bytes)
            }
            Datatype::String { size: StringSize::Variable, .. } => {
                text(&sequence(self.container, bytes, 1, self.left)?)
            }
            Datatype::VarLen { base, .. } if base.is_vlen_string_base() => {
                text(&sequence(self.container, bytes, 1, self.left)?)
            }
            Datatype::VarLen { base, .. } => {
                let size = size_in_file(base)?;
                let elements = sequence(self.container, bytes, size, self.left)?;
                let values = elements.chunks_exact(size);
                values.map(|element| self.value(base, element, depth + 1)).collect()
            }
            Datatype::Array { base, dims } => {
                let size = size_in_file(base)?;
                let count = dims.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim))?;
                let count = usize::try_from(count).ok().filter(|&n| n <= bytes.len() / size)?;
                let elements = bytes.chunks_exact(size).take(count);
                let values: Option<Vec<Value>> =
                    elements.map(|element| self.value(base, element, depth + 1)).collect();
                nest(&mut values?.into_iter(), dims, self.left)
            }
            Datatype::Compound { fields, .. } => {
                let mut object = Map::new();
                for field in fields {
                    let bytes = bytes.get(field.byte_offset as usize..)?;
                    take(self.left, field.name.len())?;
                    let value = self.value(&field.datatype, bytes, depth + 1)?;
                    object.insert(field.name.clone(), value);
                }
                Some(Value::Object(object))
            }
            Datatype::Opaque { .. } | Datatype::Reference { .. } => None,
        }
    }
}

/// Bytes of one element of a type, not zero.
fn size_in_file(datatype: &Datatype) -> Option<usize> {
    hdf5_reader::dtype_element_size(datatype).ok().filter(|&size| size > 0)
}

/// The bytes of a value of variable length: `reference` tells how many elements of `size`
/// bytes it has, and where they lie in a global heap. What it takes is taken from `left`.
fn sequence(
    container: &Container,
    reference: &[u8],
    size: usize,
    left: &mut u64,
) -> Option<Vec<u8>> {
    let (offsets, _) = container.sizes();
    let mut cursor = Cursor::new(reference);
    let count = cursor.read_u32_le().ok()?;
    let address = cursor.read_offset(offsets).ok()?;
    let index = u16::try_from(cursor.read_u32_le().ok()?).ok()?;
    if count == 0 || index == 0 || Cursor::is_undefined_offset(address, offsets) {
        return Some(Vec::new());
    }
    let len = (count as usize).checked_mul(size)?;
    take(left, len)?;
    let copy = |bytes: &[u8]| bytes.get(..len).map(<[u8]>::to_vec);
    container.with_heap_object(address, index, copy).ok()?
}

impl Container {
    /// Calls `read`, which must not ask for another, with an object of a global heap. Heaps are
    /// read once, one at a time: values that belong together lie in one.
    pub(super) fn with_heap_object<T>(
        &self,
        address: u64,
        index: u16,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let (offsets, lengths) = self.sizes();
        let mut kept = self.heap.borrow_mut();
        if kept.as_ref().is_none_or(|(have, _)| *have != address) {
            let storage = self.file.storage();
            let heap = GlobalHeapCollection::parse_at_storage(storage, address, offsets, lengths);
            *kept = Some((address, heap.map_err(translate)?));
        }
        let (_, heap) = kept.as_ref().expect("set above");
        let object = heap.get_object(index);
        let object = object.ok_or_else(|| corrupt(format!("a heap has no object {index}")))?;
        Ok(read(&object.data))
    }
}

/// A string up to its first NUL, without the spaces that fill it up.
fn text(bytes: &[u8]) -> Option<Value> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(&bytes[..end]).trim_end_matches(' ').into())
}

/// A float as a JSON number, or as a string where there is no such number.
fn float(value: f64) -> Value {
    serde_json::Number::from_f64(value)
        .map_or_else(|| Value::String(format!("{value}")), Value::Number)
}

/// The values as arrays within arrays of this shape; those of no value are one empty array.
fn nest(values: &mut impl Iterator<Item = Value>, shape: &[u64], left: &mut u64) -> Option<Value> {
    let Some((&len, inner)) = shape.split_first() else { return values.next() };
    let mut rows = Vec::new();
    if !shape.contains(&0) {
        for _ in 0..len {
            take(left, size_of::<Value>())?;
            rows.push(nest(values, inner, left)?);
        }
    }
    Some(Value::Array(rows))
}
