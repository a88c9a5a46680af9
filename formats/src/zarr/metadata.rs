//! What `zarr.json` or `.zarray` says of an array, checked: versions 2 and 3 become one
//! [`Layout`].
//!
//! `zarrs` reads the documents, fill values and chunk keys; what is taken from them is
//! checked here against what can be represented, and what is not supported is refused by
//! its name before a chunk is touched.

use super::{
    chain::Chain,
    codecs::{
        Shard, chain_v2, chain_v3, config, corrupt, dims, dtype_v2, unsupported, unsupported_dtype,
    },
    objects::Objects,
};
use crate::{
    dtype::{DType, Scalar},
    error::Result,
    grid::Grid,
    region::{Dims, checked_volume},
    source::Attributes,
};
use serde_json::Value;
use zarrs::{
    array::{ChunkKeyEncoding, DataType, chunk_key_encoding::V2ChunkKeyEncoding},
    metadata::{
        FillValueMetadata,
        v2::{ArrayMetadataV2, DataTypeMetadataV2},
        v3::{ArrayMetadataV3, MetadataV3},
    },
};

/// Shards up to this size are the chunks of the array; of larger ones, their inner chunks are.
const MAX_SHARD_CHUNK: u64 = 64 << 20;

/// xarray's name for the names of axes in version 2, which has no place of its own for them.
pub(super) const DIMENSIONS: &str = "_ARRAY_DIMENSIONS";

/// What xarray calls an axis that has no name. Such names are written, since it opens no array
/// without any, and read as none.
pub(super) fn default_name(axis: usize) -> String {
    format!("dim_{axis}")
}

/// The names of axes, without those that say nothing.
fn told(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let names = names.into_iter().enumerate();
    names
        .map(|(axis, name)| if name == default_name(axis) { String::new() } else { name })
        .collect()
}

/// An array as it is stored.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) version: u8,
    pub(super) dtype: DType,
    pub(super) shape: Dims,
    /// The shapes of stored objects: chunks, or shards.
    pub(super) objects: Objects,
    pub(super) shard: Option<Shard>,
    /// How the elements of a chunk (of an inner one, in shards) are encoded.
    pub(super) chain: Chain,
    /// The value of chunks that are not stored.
    pub(super) fill: Scalar,
    /// Whether that stands for missing values too: xarray keeps `_FillValue` there in version 2.
    pub(super) fill_is_missing: bool,
    pub(super) keys: ChunkKeyEncoding,
    pub(super) names: Vec<String>,
    pub(super) attributes: Attributes,
}

impl Layout {
    /// The largest unit of decoding: an inner chunk of a shard, or a chunk.
    pub(super) fn tile(&self) -> Dims {
        self.shard.as_ref().map_or_else(|| self.objects.largest(), |shard| shard.inner.clone())
    }

    /// The chunks of the array: what is stored together, but the inner chunks of large shards.
    pub(super) fn grid(&self) -> Grid {
        match &self.shard {
            Some(shard) if self.bytes(&self.objects.largest()) > MAX_SHARD_CHUNK => {
                Grid::regular(&self.shape, &shard.inner)
            }
            _ => self.objects.grid(&self.shape),
        }
    }

    /// Bytes of the elements of a box of this shape; it was checked to fit.
    pub(super) fn bytes(&self, shape: &[u64]) -> u64 {
        crate::region::volume(shape) * self.dtype.size() as u64
    }
}

/// A document as JSON.
pub(super) fn parse(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes)
        .or_else(|error| serde_json::from_slice(&quote_non_finite(bytes)).map_err(|_| error))
        .map_err(|e| corrupt(format!("it is not JSON: {e}")))
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

/// A version 3 document of an array.
pub(super) fn version_3(json: Value) -> Result<Layout> {
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
    let shape: Dims = meta.shape.as_slice().into();
    let grid = config(&meta.chunk_grid);
    let objects = match meta.chunk_grid.name() {
        "regular" => Objects::regular(&dims(&grid, "chunk_shape")?),
        "rectilinear" => Objects::rectilinear(&grid.into(), &shape)?,
        name => return Err(unsupported(format!("chunk grid {name:?} is not supported"))),
    };
    check_shapes(dtype, &shape, &objects.largest())?;
    let (chain, shard) = chain_v3(&meta.codecs, dtype, &objects)?;
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
        Some(names) => told(names.into_iter().map(Option::unwrap_or_default)),
        None => vec![String::new(); shape.len()],
    };
    let fill = fill_value(dtype, &meta.fill_value)?;
    let attributes = meta.attributes.into_iter().collect();
    Ok(Layout {
        version: 3,
        dtype,
        shape,
        objects,
        shard,
        chain,
        fill,
        fill_is_missing: false,
        keys,
        names,
        attributes,
    })
}

/// A version 2 document of an array, with the one of its attributes.
pub(super) fn version_2(json: Value, attributes: Option<Value>) -> Result<Layout> {
    let meta: ArrayMetadataV2 =
        serde_json::from_value(json).map_err(|e| corrupt(format!("invalid metadata: {e}")))?;
    let (dtype, big_endian) = match &meta.dtype {
        DataTypeMetadataV2::Simple(name) => dtype_v2(name)?,
        DataTypeMetadataV2::Structured(_) => return Err(unsupported_dtype("structured")),
    };
    let shape: Dims = meta.shape.as_slice().into();
    let chunk: Dims = meta.chunks.iter().map(|n| n.get()).collect();
    check_shapes(dtype, &shape, &chunk)?;
    let filters = meta.filters.as_deref().unwrap_or_default();
    let chain =
        chain_v2((dtype, big_endian), shape.len(), meta.order, filters, meta.compressor.as_ref())?;
    let fill = match &meta.fill_value {
        FillValueMetadata::Null => Scalar::zero(dtype),
        value => {
            let data_type = MetadataV3::new(dtype.name());
            let value = &loose_fill_value(dtype, value);
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
    Ok(Layout {
        version: 2,
        dtype,
        names: names.map_or_else(|| vec![String::new(); shape.len()], told),
        shape,
        objects: Objects::regular(&chunk),
        shard: None,
        chain,
        fill,
        fill_is_missing: !matches!(meta.fill_value, FillValueMetadata::Null),
        keys: ChunkKeyEncoding::new(V2ChunkKeyEncoding::new(meta.dimension_separator)),
        attributes,
    })
}

fn names_v2(value: Option<&Value>, rank: usize) -> Option<Vec<String>> {
    let names: Option<Vec<String>> =
        value?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    names.filter(|names| names.len() == rank)
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

/// A fill value of version 2 as one of the array's own type: zarr-python takes whatever NumPy
/// converts to it, whole floats and texts for integers, truths for floats.
fn loose_fill_value(dtype: DType, value: &FillValueMetadata) -> FillValueMetadata {
    let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64);
    let told = match value {
        _ if dtype == DType::Bool => None,
        FillValueMetadata::Bool(value) => Some(FillValueMetadata::from(i64::from(*value))),
        FillValueMetadata::Number(number) if !dtype.is_float() && number.is_f64() => {
            number.as_f64().and_then(whole).map(FillValueMetadata::from)
        }
        FillValueMetadata::String(text) if !dtype.is_float() => match text.trim().parse::<u64>() {
            Ok(value) => Some(FillValueMetadata::from(value)),
            Err(_) => text.trim().parse::<i64>().ok().map(FillValueMetadata::from),
        },
        _ => None,
    };
    told.unwrap_or_else(|| value.clone())
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
    use crate::error::ErrorKind;

    #[test]
    fn bare_words_of_python_become_strings() {
        let text = br#"{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN \" NaN"}"#;
        let json: Value = serde_json::from_slice(&quote_non_finite(text)).unwrap();
        assert_eq!(json["a"], "NaN");
        assert_eq!(json["b"][1], "-Infinity");
        assert_eq!(json["c"], "NaN \" NaN");
    }

    fn array(change: impl FnOnce(&mut Value)) -> Result<Layout> {
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
        assert_eq!(kind(|j| j["chunk_grid"]["name"] = "hexagonal".into()), Unsupported);
        assert_eq!(kind(|j| j["fill_value"] = "seven".into()), Corrupt);
        assert_eq!(kind(|j| j["codecs"] = serde_json::json!([{"name": "zfp"}])), Unsupported);
        assert_eq!(kind(|j| j["codecs"] = serde_json::json!([])), Corrupt);
        assert_eq!(kind(|j| j["dimension_names"] = serde_json::json!(["x"])), Corrupt);
        assert_eq!(kind(|j| j["chunk_key_encoding"]["name"] = "other".into()), Unsupported);
        assert_eq!(kind(|j| j["kerchunk"] = serde_json::json!({"a": 1})), Unsupported);
    }

    #[test]
    fn fill_values_of_version_2_are_what_numpy_makes_of_them() {
        let fill = |dtype: &str, value: Value| {
            let json = serde_json::json!({
                "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": dtype, "order": "C",
                "fill_value": value, "filters": null, "compressor": null,
            });
            version_2(json, None).map(|layout| (layout.fill, layout.fill_is_missing))
        };
        assert_eq!(fill("<i2", 7.0.into()).unwrap(), (Scalar::I16(7), true));
        assert_eq!(fill("<i2", "-3".into()).unwrap(), (Scalar::I16(-3), true));
        let most = u64::MAX;
        assert_eq!(fill("<u8", most.to_string().into()).unwrap().0, Scalar::U64(most));
        assert_eq!(fill("<u4", false.into()).unwrap().0, Scalar::U32(0));
        assert_eq!(fill("<f4", true.into()).unwrap().0, Scalar::F32(1.0));
        assert_eq!(fill("<f8", "Infinity".into()).unwrap().0, Scalar::F64(f64::INFINITY));
        assert_eq!(fill("<i4", Value::Null).unwrap(), (Scalar::I32(0), false));
        assert_eq!(fill("|b1", 1.into()).unwrap().0, Scalar::Bool(true));
        for (dtype, value) in [("<i2", Value::from(0.5)), ("<u1", (-1).into()), ("<i4", "x".into())]
        {
            let error = fill(dtype, value.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{dtype} {value}");
        }
    }
}
