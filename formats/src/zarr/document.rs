//! The metadata documents that are written, of both versions.

use super::{
    codec::Step,
    metadata::{DIMENSIONS, default_name},
    objects::Objects,
};
use crate::{
    dtype::{DType, Scalar},
    source::Meta,
};
use serde_json::{Map, Value, json};

/// Documents of a node by name: `zarr.json`, or `.zattrs` and `.zarray`.
pub(super) type Named = Vec<(&'static str, Value)>;

/// What the documents of an array tell.
pub(super) struct Documents<'a> {
    pub(super) version: u8,
    pub(super) meta: &'a Meta,
    pub(super) objects: &'a Objects,
    /// The shape of the chunks inside, of shards.
    pub(super) inner: Option<&'a [u64]>,
    pub(super) codec: Option<Step>,
    pub(super) fill: Scalar,
}

/// The document of a group.
pub(super) fn group(version: u8) -> (&'static str, Value) {
    match version {
        3 => ("zarr.json", json!({"zarr_format": 3, "node_type": "group", "attributes": {}})),
        _ => (".zgroup", json!({"zarr_format": 2})),
    }
}

/// A document as it is stored.
pub(super) fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

impl Documents<'_> {
    /// The documents, in the order in which they are to be written.
    pub(super) fn make(&self) -> Named {
        let attributes = self.meta.attributes.iter();
        let attributes = attributes.map(|(k, v)| (k.clone(), v.clone())).collect();
        match self.version {
            3 => vec![("zarr.json", self.version_3(attributes))],
            _ => self.version_2(attributes),
        }
    }

    /// A name for each axis: xarray opens no array without them.
    fn names(&self) -> Value {
        let axes = self.meta.axes.iter().enumerate();
        axes.map(|(axis, name)| match name.as_str() {
            "" => default_name(axis),
            name => name.to_owned(),
        })
        .collect()
    }

    fn codecs(&self) -> Vec<Value> {
        let size = self.meta.dtype.size();
        let mut codecs = vec![match size {
            1 => json!({"name": "bytes"}),
            _ => json!({"name": "bytes", "configuration": {"endian": NATIVE}}),
        }];
        codecs.extend(self.codec.map(|step| match step {
            Step::Zstd { level } => {
                json!({"name": "zstd", "configuration": {"level": level, "checksum": false}})
            }
            Step::Blosc => json!({"name": "blosc", "configuration": {
                "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": size, "blocksize": 0,
            }}),
            Step::Gzip { level } => json!({"name": "gzip", "configuration": {"level": level}}),
            other => json!({"name": other.name()}),
        }));
        codecs
    }

    fn version_3(&self, attributes: Map<String, Value>) -> Value {
        let codecs = match self.inner {
            None => self.codecs(),
            Some(inner) => vec![json!({"name": "sharding_indexed", "configuration": {
                "chunk_shape": inner,
                "codecs": self.codecs(),
                "index_codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"},
                ],
                "index_location": "end",
            }})],
        };
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.meta.shape().as_slice(),
            "data_type": self.meta.dtype.name(),
            "chunk_grid": self.objects.to_document(),
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill_value(self.fill),
            "codecs": codecs,
            "attributes": attributes,
            "dimension_names": self.names(),
        })
    }

    fn version_2(&self, mut attributes: Map<String, Value>) -> Named {
        let dtype = self.meta.dtype;
        let order = match (dtype.size(), NATIVE) {
            (1, _) => '|',
            (_, "big") => '>',
            _ => '<',
        };
        let kind = match dtype {
            DType::Bool => 'b',
            dtype if dtype.is_float() => 'f',
            dtype if dtype.is_signed() => 'i',
            _ => 'u',
        };
        let compressor = self.codec.map(|step| match step {
            Step::Zstd { level } => json!({"id": "zstd", "level": level}),
            Step::Blosc => {
                json!({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0})
            }
            Step::Gzip { level } => json!({"id": "gzip", "level": level}),
            other => json!({"id": other.name()}),
        });
        let document = json!({
            "zarr_format": 2,
            "shape": self.meta.shape().as_slice(),
            "chunks": self.objects.largest().as_slice(),
            "dtype": format!("{order}{kind}{}", dtype.size()),
            "compressor": compressor,
            "fill_value": fill_value(self.fill),
            "order": "C",
            "filters": null,
            "dimension_separator": ".",
        });
        attributes.insert(DIMENSIONS.into(), self.names());
        vec![(".zattrs", attributes.into()), (".zarray", document)]
    }
}

/// The byte order of this machine, in which everything is written.
const NATIVE: &str = if cfg!(target_endian = "big") { "big" } else { "little" };

/// A fill value in JSON, which has no words for what is not finite: both versions have strings.
fn fill_value(fill: Scalar) -> Value {
    let float = |value: f64, json: Value| match value {
        value if value.is_nan() => json!("NaN"),
        value if value.is_finite() => json,
        value => json!(if value > 0.0 { "Infinity" } else { "-Infinity" }),
    };
    match fill {
        Scalar::Bool(value) => json!(value),
        Scalar::U8(value) => json!(value),
        Scalar::U16(value) => json!(value),
        Scalar::U32(value) => json!(value),
        Scalar::U64(value) => json!(value),
        Scalar::I8(value) => json!(value),
        Scalar::I16(value) => json!(value),
        Scalar::I32(value) => json!(value),
        Scalar::I64(value) => json!(value),
        Scalar::F32(value) => float(value.into(), json!(value)),
        Scalar::F64(value) => float(value, json!(value)),
    }
}
