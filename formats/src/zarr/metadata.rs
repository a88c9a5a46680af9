//! What `zarr.json` or `.zarray` says of an array, checked: versions 2 and 3 become one
//! [`Layout`].
//!
//! `zarrs` reads the documents, fill values and chunk keys; what is taken from them is
//! checked here against what can be represented, and what is not supported is refused by
//! its name before a chunk is touched.

use super::codec::{Chain, Codec};
use crate::{
    dtype::{DType, Scalar},
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    region::{Dims, checked_volume},
    source::Attributes,
};
use serde_json::{Map, Value};
use smallvec::SmallVec;
use std::{fs::File, io::Read, path::Path};
use zarrs::{
    array::{ChunkKeyEncoding, DataType, chunk_key_encoding::V2ChunkKeyEncoding},
    metadata::{
        FillValueMetadata,
        v2::{ArrayMetadataV2, ArrayMetadataV2Order, DataTypeMetadataV2, MetadataV2},
        v3::{ArrayMetadataV3, MetadataV3},
    },
};

/// The longest metadata document that is read: consolidated ones of large groups reach megabytes.
const MAX_DOCUMENT: u64 = 64 << 20;

/// Shards up to this size are the chunks of the array; of larger ones, their inner chunks are.
const MAX_SHARD_CHUNK: u64 = 64 << 20;

/// xarray's name for the names of axes in version 2, which has no place of its own for them.
pub(super) const DIMENSIONS: &str = "_ARRAY_DIMENSIONS";

/// What a folder of a Zarr hierarchy is.
#[derive(Debug)]
pub(super) enum Node {
    Array(Box<Layout>),
    Group,
}

/// An array as it is stored.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) version: u8,
    pub(super) dtype: DType,
    pub(super) shape: Dims,
    /// The shape of what one stored object holds: a chunk, or a shard. Objects at the edge
    /// are stored in full.
    pub(super) object: Dims,
    pub(super) shard: Option<Shard>,
    /// How the elements of a chunk (of an inner one, in shards) are encoded.
    pub(super) chain: Chain,
    /// The value of chunks that are not stored.
    pub(super) fill: Scalar,
    pub(super) keys: ChunkKeyEncoding,
    pub(super) names: Vec<String>,
    pub(super) attributes: Attributes,
}

/// How a shard holds its inner chunks (the `sharding_indexed` codec, Zarr enhancement 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) inner: Dims,
    /// Whether the index is at the end of the shard, not at its start.
    pub(super) index_at_end: bool,
    pub(super) index_crc32c: bool,
    pub(super) index_big_endian: bool,
}

impl Layout {
    /// The unit of decoding: an inner chunk of a shard, or a chunk.
    pub(super) fn tile(&self) -> &Dims {
        self.shard.as_ref().map_or(&self.object, |shard| &shard.inner)
    }

    /// The chunks of the array: what is stored together, but the inner chunks of large shards.
    pub(super) fn grid(&self) -> Grid {
        let large = self.bytes(&self.object) > MAX_SHARD_CHUNK;
        Grid::regular(&self.shape, if large { self.tile() } else { &self.object })
    }

    /// Bytes of the elements of a box of this shape; it was checked to fit.
    pub(super) fn bytes(&self, shape: &[u64]) -> u64 {
        crate::region::volume(shape) * self.dtype.size() as u64
    }
}

/// The files that may describe a node, and in this order.
pub(super) const DOCUMENTS: [&str; 3] = ["zarr.json", ".zarray", ".zgroup"];

/// What the folder `path` is; `None` if nothing there says that it is Zarr.
pub(super) fn read_node(path: &Path) -> Result<Option<Node>> {
    let document = path.join("zarr.json");
    if let Some(json) = read_json(&document)? {
        return match json.get("node_type").and_then(Value::as_str) {
            Some("group") => Ok(Some(Node::Group)),
            Some("array") => version_3(json).map_err(|e| e.at_path(&document)).map(Some),
            _ => Err(corrupt("node_type is neither \"array\" nor \"group\"").at_path(&document)),
        };
    }
    let document = path.join(".zarray");
    if let Some(json) = read_json(&document)? {
        let attributes = read_json(&path.join(".zattrs"))?;
        return version_2(json, attributes).map_err(|e| e.at_path(&document)).map(Some);
    }
    Ok(path.join(".zgroup").is_file().then_some(Node::Group))
}

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

fn unsupported(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Unsupported, message)
}

fn read_json(path: &Path) -> Result<Option<Value>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(FormatError::io(e).at_path(path)),
    };
    let mut bytes = Vec::new();
    file.by_ref()
        .take(MAX_DOCUMENT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| FormatError::io(e).at_path(path))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        let message = format!("the document is longer than {} MiB", MAX_DOCUMENT >> 20);
        return Err(FormatError::new(ErrorKind::Limit, message).at_path(path));
    }
    serde_json::from_slice(&bytes)
        .or_else(|error| serde_json::from_slice(&quote_non_finite(&bytes)).map_err(|_| error))
        .map(Some)
        .map_err(|e| corrupt(format!("it is not JSON: {e}")).at_path(path))
}

/// Python writes `NaN` and `Infinity` as bare words, which JSON does not know: as strings
/// they mean the same in a fill value and are harmless in attributes.
fn quote_non_finite(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let word = [b"NaN".as_slice(), b"Infinity", b"-Infinity"]
            .into_iter()
            .find(|word| !in_string && rest.starts_with(word));
        if let Some(word) = word {
            out.push(b'"');
            out.extend_from_slice(word);
            out.push(b'"');
            at += word.len();
            continue;
        }
        if in_string && rest[0] == b'\\' && rest.len() > 1 {
            out.extend_from_slice(&rest[..2]);
            at += 2;
            continue;
        }
        in_string ^= rest[0] == b'"';
        out.push(rest[0]);
        at += 1;
    }
    out
}

fn version_3(json: Value) -> Result<Node> {
    let meta: ArrayMetadataV3 =
        serde_json::from_value(json).map_err(|e| corrupt(format!("invalid metadata: {e}")))?;
    let dtype = DType::from_name(meta.data_type.name())
        .ok_or_else(|| unsupported_dtype(meta.data_type.name()))?;
    if let Some(transformer) = meta.storage_transformers.first() {
        return Err(unsupported(format!(
            "storage transformer {} is not supported",
            transformer.name()
        )));
    }
    if let Some((name, _)) = meta.additional_fields.iter().find(|(_, f)| f.must_understand()) {
        return Err(unsupported(format!("the extension {name:?} is not supported")));
    }
    if meta.chunk_grid.name() != "regular" {
        let name = meta.chunk_grid.name();
        return Err(unsupported(format!(
            "chunk grid {name:?} is not supported, only regular ones are"
        )));
    }
    let shape: Dims = meta.shape.as_slice().into();
    let object = dims(&config(&meta.chunk_grid), "chunk_shape")?;
    check_shapes(dtype, &shape, &object)?;
    let (chain, shard) = match &meta.codecs[..] {
        [only] if only.name() == "sharding_indexed" => {
            let (chain, shard) = sharding(&config(only), dtype, &object)?;
            (chain, Some(shard))
        }
        codecs => (chain(codecs, dtype, shape.len())?, None),
    };
    if !matches!(meta.chunk_key_encoding.name(), "default" | "v2") {
        let name = meta.chunk_key_encoding.name();
        return Err(unsupported(format!("chunk key encoding {name:?} is not supported")));
    }
    let keys = ChunkKeyEncoding::from_metadata(&meta.chunk_key_encoding)
        .map_err(|e| corrupt(format!("invalid chunk key encoding: {e}")))?;
    let names = match meta.dimension_names {
        Some(names) if names.len() != shape.len() => {
            return Err(corrupt(format!(
                "{} dimension names for {} axes",
                names.len(),
                shape.len()
            )));
        }
        Some(names) => names.into_iter().map(Option::unwrap_or_default).collect(),
        None => vec![String::new(); shape.len()],
    };
    let fill = fill_value(dtype, &meta.fill_value)?;
    let attributes = meta.attributes.into_iter().collect();
    let version = 3;
    let layout =
        Layout { version, dtype, shape, object, shard, chain, fill, keys, names, attributes };
    Ok(Node::Array(Box::new(layout)))
}

fn version_2(json: Value, attributes: Option<Value>) -> Result<Node> {
    let meta: ArrayMetadataV2 =
        serde_json::from_value(json).map_err(|e| corrupt(format!("invalid metadata: {e}")))?;
    let (dtype, big_endian) = match &meta.dtype {
        DataTypeMetadataV2::Simple(name) => dtype_v2(name)?,
        DataTypeMetadataV2::Structured(_) => return Err(unsupported_dtype("structured")),
    };
    let shape: Dims = meta.shape.as_slice().into();
    let object: Dims = meta.chunks.iter().map(|n| n.get()).collect();
    check_shapes(dtype, &shape, &object)?;
    if let Some(filter) = meta.filters.iter().flatten().next() {
        return Err(unsupported(format!("filter {:?} is not supported", filter.id())));
    }
    let mut chain = Chain::new(shape.len(), Codec::None);
    chain.codec = meta.compressor.as_ref().map_or(Ok(Codec::None), compressor_v2)?;
    chain.swap = big_endian != cfg!(target_endian = "big") && dtype.size() > 1;
    if meta.order == ArrayMetadataV2Order::F {
        chain.order.reverse();
    }
    let fill = match &meta.fill_value {
        FillValueMetadata::Null => Scalar::zero(dtype),
        value => {
            let data_type = MetadataV3::new(dtype.name());
            let value = zarrs::convert::fill_value_metadata_v2_to_v3(value, &data_type)
                .map_err(|e| corrupt(format!("invalid fill value: {e}")))?;
            fill_value(dtype, &value)?
        }
    };
    let mut attributes: Attributes = match attributes {
        Some(Value::Object(attributes)) => attributes.into_iter().collect(),
        Some(_) => return Err(corrupt("the attributes are not an object")),
        None => Attributes::new(),
    };
    let names = names_v2(attributes.get(DIMENSIONS), shape.len());
    if names.is_some() {
        attributes.remove(DIMENSIONS);
    }
    Ok(Node::Array(Box::new(Layout {
        version: 2,
        dtype,
        names: names.unwrap_or_else(|| vec![String::new(); shape.len()]),
        shape,
        object,
        shard: None,
        chain,
        fill,
        keys: ChunkKeyEncoding::new(V2ChunkKeyEncoding::new(meta.dimension_separator)),
        attributes,
    })))
}

fn names_v2(value: Option<&Value>, rank: usize) -> Option<Vec<String>> {
    let names: Option<Vec<String>> =
        value?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    names.filter(|names| names.len() == rank)
}

fn unsupported_dtype(name: &str) -> FormatError {
    unsupported(format!("data type {name:?} is not supported"))
        .help("supported are bool, integers and floats of 8 to 64 bits")
}

/// The dtype of NumPy's type string, and whether it is big endian.
fn dtype_v2(name: &str) -> Result<(DType, bool)> {
    let (order, code) = name.split_at_checked(1).unwrap_or(("", name));
    let dtype = match code {
        "b1" => DType::Bool,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "f4" => DType::F32,
        "f8" => DType::F64,
        _ => return Err(unsupported_dtype(name)),
    };
    match order {
        "<" => Ok((dtype, false)),
        ">" => Ok((dtype, true)),
        "|" if dtype.size() == 1 => Ok((dtype, false)),
        _ => Err(corrupt(format!("data type {name:?} has no byte order"))),
    }
}

fn compressor_v2(compressor: &MetadataV2) -> Result<Codec> {
    codec(compressor.id())
        .ok_or_else(|| unsupported(format!("compressor {:?} is not supported", compressor.id())))
}

/// The codec of this name, in Zarr's own names or those of numcodecs; how it was set when
/// the chunks were written does not matter to a reader.
fn codec(name: &str) -> Option<Codec> {
    match name.strip_prefix("numcodecs.").unwrap_or(name) {
        "zstd" => Some(Codec::Zstd { level: 0 }),
        "blosc" => Some(Codec::Blosc),
        "gzip" => Some(Codec::Gzip { level: 0 }),
        "zlib" => Some(Codec::Zlib),
        _ => None,
    }
}

/// Shapes whose elements can be counted and addressed: a stored object at a time, and all.
fn check_shapes(dtype: DType, shape: &[u64], object: &[u64]) -> Result<()> {
    if shape.len() != object.len() {
        let message = format!("chunks of {} axes for an array of {}", object.len(), shape.len());
        return Err(corrupt(message));
    }
    if object.contains(&0) {
        return Err(corrupt(format!("chunk shape {object:?} has an axis of length 0")));
    }
    for (what, shape) in [("array", shape), ("chunk", object)] {
        // Axes of length 0 count as 1, since strides do too.
        let lens: Dims = shape.iter().map(|&len| len.max(1)).collect();
        checked_volume(&lens)
            .and_then(|n| n.checked_mul(dtype.size() as u64))
            .filter(|&bytes| bytes <= isize::MAX as u64 / 4)
            .ok_or_else(|| {
                corrupt(format!("an {what} of shape {shape:?} is too large to exist"))
            })?;
    }
    Ok(())
}

fn config(meta: &MetadataV3) -> Map<String, Value> {
    meta.configuration().cloned().map(Into::into).unwrap_or_default()
}

fn dims(config: &Map<String, Value>, key: &str) -> Result<Dims> {
    config
        .get(key)
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(Value::as_u64).collect())
        .ok_or_else(|| corrupt(format!("{key} is not a list of lengths")))
}

fn codecs(config: &Map<String, Value>, key: &str) -> Result<Vec<MetadataV3>> {
    let list = config.get(key).cloned().unwrap_or(Value::Null);
    serde_json::from_value(list).map_err(|e| corrupt(format!("{key} is not a list of codecs: {e}")))
}

fn chain(codecs: &[MetadataV3], dtype: DType, rank: usize) -> Result<Chain> {
    let mut chain = Chain::new(rank, Codec::None);
    let mut is_bytes = false;
    for meta in codecs {
        let name = meta.name();
        let refused = |why: &str| Err(unsupported(format!("codec {name:?} is not supported{why}")));
        match name {
            "transpose" if !is_bytes => {
                let next = order(&config(meta), rank)?;
                chain.order = next.iter().map(|&axis| chain.order[axis]).collect();
            }
            "bytes" | "endian" if !is_bytes => {
                let big = match config(meta).get("endian").and_then(Value::as_str) {
                    Some("big") => true,
                    Some("little") => false,
                    None if dtype.size() == 1 => false,
                    _ => return Err(corrupt("endian is neither \"little\" nor \"big\"")),
                };
                chain.swap = big != cfg!(target_endian = "big") && dtype.size() > 1;
                is_bytes = true;
            }
            _ if !is_bytes => return refused(" before the codec \"bytes\""),
            _ if chain.crc32c => return refused(" behind a checksum"),
            "crc32c" | "numcodecs.crc32c" => chain.crc32c = true,
            _ => match codec(name) {
                Some(codec) if chain.codec == Codec::None => chain.codec = codec,
                Some(_) => return refused(" behind another compressor"),
                None => return refused(""),
            },
        }
    }
    match is_bytes {
        true => Ok(chain),
        false => Err(corrupt("the codecs do not name how elements become bytes")),
    }
}

/// A transpose codec's order of axes; early writers said `"C"` or `"F"`.
fn order(config: &Map<String, Value>, rank: usize) -> Result<SmallVec<[usize; 6]>> {
    match config.get("order") {
        Some(Value::String(order)) if order == "C" => return Ok((0..rank).collect()),
        Some(Value::String(order)) if order == "F" => return Ok((0..rank).rev().collect()),
        _ => {}
    }
    let order: SmallVec<[usize; 6]> = dims(config, "order")?.iter().map(|&n| n as usize).collect();
    match order.len() == rank && (0..rank).all(|axis| order.contains(&axis)) {
        true => Ok(order),
        false => Err(corrupt(format!("order {order:?} does not name each of {rank} axes once"))),
    }
}

fn sharding(config: &Map<String, Value>, dtype: DType, object: &[u64]) -> Result<(Chain, Shard)> {
    let inner = dims(config, "chunk_shape")?;
    let divides = inner.len() == object.len()
        && inner.iter().zip(object).all(|(&inner, &outer)| inner > 0 && outer % inner == 0);
    if !divides {
        return Err(corrupt(format!("inner chunks {inner:?} do not divide shards {object:?}")));
    }
    let chain = chain(&codecs(config, "codecs")?, dtype, inner.len())?;
    let index = codecs(config, "index_codecs")?;
    let names: Vec<&str> = index.iter().map(MetadataV3::name).collect();
    let index_crc32c = match names[..] {
        ["bytes"] => false,
        ["bytes", "crc32c"] => true,
        _ => return Err(unsupported(format!("index codecs {names:?} are not supported"))),
    };
    let index_big_endian =
        self::config(&index[0]).get("endian").and_then(Value::as_str) == Some("big");
    let index_at_end = match config.get("index_location").and_then(Value::as_str) {
        None | Some("end") => true,
        Some("start") => false,
        Some(other) => return Err(corrupt(format!("an index cannot be at the {other:?}"))),
    };
    Ok((chain, Shard { inner, index_at_end, index_crc32c, index_big_endian }))
}

fn fill_value(dtype: DType, value: &FillValueMetadata) -> Result<Scalar> {
    let invalid = || corrupt(format!("fill value {value} is not one of {dtype}"));
    let data_type =
        DataType::from_metadata(&MetadataV3::new(dtype.name())).map_err(|_| invalid())?;
    let fill = data_type.fill_value_v3(value).map_err(|_| invalid())?;
    match fill.as_ne_bytes() {
        bytes if bytes.len() == dtype.size() => Ok(Scalar::from_bytes(dtype, bytes)),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_of_python_become_strings() {
        let text = br#"{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN \" NaN"}"#;
        let json: Value = serde_json::from_slice(&quote_non_finite(text)).unwrap();
        assert_eq!(json["a"], "NaN");
        assert_eq!(json["b"][1], "-Infinity");
        assert_eq!(json["c"], "NaN \" NaN");
    }

    fn array(change: impl FnOnce(&mut Value)) -> Result<Node> {
        let mut json = serde_json::json!({
            "zarr_format": 3, "node_type": "array", "shape": [4, 6], "data_type": "float32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN", "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        });
        change(&mut json);
        version_3(json)
    }

    #[test]
    fn what_makes_no_sense_is_an_error_of_its_kind() {
        assert!(array(|_| {}).is_ok());
        let kind = |change: fn(&mut Value)| array(change).unwrap_err().kind();
        use ErrorKind::{Corrupt, Unsupported};
        assert_eq!(kind(|j| j["data_type"] = "complex64".into()), Unsupported);
        assert_eq!(kind(|j| j["shape"] = vec![u64::MAX, u64::MAX].into()), Corrupt);
        assert_eq!(kind(|j| j["shape"] = serde_json::json!([0, u64::MAX])), Corrupt);
        assert_eq!(kind(|j| j["shape"] = vec![4].into()), Corrupt);
        assert_eq!(
            kind(|j| j["chunk_grid"]["configuration"]["chunk_shape"][0] = 0.into()),
            Corrupt
        );
        assert_eq!(kind(|j| j["chunk_grid"]["name"] = "rectilinear".into()), Unsupported);
        assert_eq!(kind(|j| j["fill_value"] = "seven".into()), Corrupt);
        assert_eq!(kind(|j| j["codecs"] = serde_json::json!([{"name": "zfp"}])), Unsupported);
        assert_eq!(kind(|j| j["codecs"] = serde_json::json!([])), Corrupt);
        assert_eq!(kind(|j| j["dimension_names"] = serde_json::json!(["x"])), Corrupt);
        assert_eq!(kind(|j| j["chunk_key_encoding"]["name"] = "other".into()), Unsupported);
        assert_eq!(kind(|j| j["kerchunk"] = serde_json::json!({"a": 1})), Unsupported);
    }

    #[test]
    fn transposes_compose() {
        let codecs: Vec<MetadataV3> = serde_json::from_value(serde_json::json!([
            {"name": "transpose", "configuration": {"order": [1, 2, 0]}},
            {"name": "transpose", "configuration": {"order": [1, 2, 0]}},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ]))
        .unwrap();
        assert_eq!(chain(&codecs, DType::U8, 3).unwrap().order[..], [2, 0, 1]);
    }
}
