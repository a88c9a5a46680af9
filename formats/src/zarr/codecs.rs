//! What a document says of codecs, checked: a [`Chain`], and the [`Shard`] that it may lie in.
//!
//! Codecs have Zarr's own names or those of numcodecs (`numcodecs.` before the name in version
//! 3). How one was set when the chunks were written does not matter to a reader, unless it is
//! named here; one that is not known is refused by its name.

use super::{
    chain::Chain,
    codec::{Checksum, Step},
    filter::Filter,
    objects::Objects,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::Dims,
};
use serde_json::{Map, Value};
use smallvec::SmallVec;
use zarrs::metadata::{
    v2::{ArrayMetadataV2Order, MetadataV2},
    v3::MetadataV3,
};

/// How a codec is set.
type Config = Map<String, Value>;

/// How a shard holds its inner chunks (the `sharding_indexed` codec, Zarr enhancement 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) inner: Dims,
    /// Whether the index is at the end of the shard, not at its start.
    pub(super) index_at_end: bool,
    pub(super) index_crc32c: bool,
    pub(super) index_big_endian: bool,
}

pub(super) fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

pub(super) fn unsupported(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Unsupported, message)
}

pub(super) fn unsupported_dtype(name: &str) -> FormatError {
    unsupported(format!("data type {name:?} is not supported"))
        .help("supported are bool, integers and floats of 8 to 64 bits")
}

/// The dtype of NumPy's type string, and whether it is big endian.
pub(super) fn dtype_v2(name: &str) -> Result<(DType, bool)> {
    let (order, code) = name.split_at_checked(1).unwrap_or(("", name));
    let dtype = DType::from_numpy(code).ok_or_else(|| unsupported_dtype(name))?;
    match order {
        "<" => Ok((dtype, false)),
        ">" => Ok((dtype, true)),
        "|" if dtype.size() == 1 => Ok((dtype, false)),
        _ => Err(corrupt(format!("data type {name:?} has no byte order"))),
    }
}

/// The chain of a version 2 array of `rank` axes, whose elements are big endian or not.
pub(super) fn chain_v2(
    dtype: (DType, bool),
    rank: usize,
    order: ArrayMetadataV2Order,
    filters: &[MetadataV2],
    compressor: Option<&MetadataV2>,
) -> Result<Chain> {
    let (dtype, big_endian) = dtype;
    let mut chain = Chain::new(rank, dtype, []);
    if order == ArrayMetadataV2Order::F {
        chain.order.reverse();
    }
    // Filters hand on elements in the order that their own type has.
    let mut big = big_endian;
    for (n, meta) in filters.iter().chain(compressor).enumerate() {
        let what = if n < filters.len() { "filter" } else { "compressor" };
        let name = meta.id();
        let config: Config = meta.configuration().clone().into();
        match filter(name, &config, &chain)? {
            Some(Some((filter, of_stored))) if chain.steps.is_empty() => {
                big = of_stored.unwrap_or(false);
                chain.filters.push(filter);
                continue;
            }
            Some(None) if chain.steps.is_empty() => continue,
            Some(_) => {
                return Err(unsupported(format!("filter {name:?} is not supported behind bytes")));
            }
            None => {}
        }
        match step(name, &config, chain.stored_dtype())? {
            Some(step) => chain.steps.push(step),
            None => return Err(unsupported(format!("{what} {name:?} is not supported"))),
        }
    }
    chain.swap = swapped(big, chain.stored_dtype());
    Ok(chain)
}

/// The chain and shards of a version 3 array.
pub(super) fn chain_v3(
    codecs: &[MetadataV3],
    dtype: DType,
    objects: &Objects,
) -> Result<(Chain, Option<Shard>)> {
    match codecs {
        [only] if only.name() == "sharding_indexed" => {
            let (chain, shard) = sharding(&config(only), dtype, objects)?;
            Ok((chain, Some(shard)))
        }
        codecs => Ok((chain(codecs, dtype, objects.rank())?, None)),
    }
}

fn chain(codecs: &[MetadataV3], dtype: DType, rank: usize) -> Result<Chain> {
    let mut chain = Chain::new(rank, dtype, []);
    let mut is_bytes = false;
    for meta in codecs {
        let name = meta.name();
        let plain = name.strip_prefix("numcodecs.").unwrap_or(name);
        let refused = |why: &str| Err(unsupported(format!("codec {name:?} is not supported{why}")));
        match plain {
            "sharding_indexed" => return refused(" inside or beside others"),
            // The registered codec of that name differs from numcodecs' one.
            "packbits" if name == plain => return refused(""),
            "transpose" if !is_bytes => {
                if !chain.filters.iter().all(Filter::is_elementwise) {
                    return refused(" behind filters that depend on the order of elements");
                }
                let next = order(&config(meta), rank)?;
                chain.order = next.iter().map(|&axis| chain.order[axis]).collect();
                continue;
            }
            "bytes" | "endian" if !is_bytes => {
                let stored = chain.stored_dtype();
                let big = match config(meta).get("endian").and_then(Value::as_str) {
                    Some("big") => true,
                    Some("little") => false,
                    None if stored.size() == 1 => false,
                    _ => return Err(corrupt("endian is neither \"little\" nor \"big\"")),
                };
                chain.swap = swapped(big, stored);
                is_bytes = true;
                continue;
            }
            _ => {}
        }
        match filter(plain, &config(meta), &chain)? {
            Some(_) if is_bytes => return refused(" behind the codec \"bytes\""),
            Some(filter) => chain.filters.extend(filter.map(|(filter, _)| filter)),
            None => match step(plain, &config(meta), chain.stored_dtype())? {
                Some(_) if !is_bytes => return refused(" before the codec \"bytes\""),
                Some(step) => chain.steps.push(step),
                None => return refused(""),
            },
        }
    }
    match is_bytes {
        true => Ok(chain),
        false => Err(corrupt("the codecs do not name how elements become bytes")),
    }
}

fn swapped(big_endian: bool, dtype: DType) -> bool {
    big_endian != cfg!(target_endian = "big") && dtype.size() > 1
}

/// The step on bytes of this name; `None` if there is none.
fn step(name: &str, config: &Config, dtype: DType) -> Result<Option<Step>> {
    let checksum = |of, usual: &str| -> Result<Option<Step>> {
        match config.get("location").and_then(Value::as_str).unwrap_or(usual) {
            "start" => Ok(Some(Step::Checksum { of, at_start: true })),
            "end" => Ok(Some(Step::Checksum { of, at_start: false })),
            other => Err(corrupt(format!("a checksum cannot be at the {other:?}"))),
        }
    };
    Ok(Some(match name {
        "zstd" => Step::Zstd { level: 0 },
        "blosc" => Step::Blosc,
        "gzip" => Step::Gzip { level: 0 },
        "zlib" => Step::Zlib,
        "lz4" => Step::Lz4,
        "bz2" => Step::Bz2,
        "shuffle" => match config.get("elementsize").filter(|size| !size.is_null()) {
            None => Step::Shuffle { size: dtype.size() },
            Some(size) => match size.as_u64() {
                // numcodecs takes 0 for 1, and elements are never larger than a page.
                Some(size @ 0..=4096) => Step::Shuffle { size: (size as usize).max(1) },
                _ => return Err(corrupt(format!("{size} is no size of elements to shuffle"))),
            },
        },
        "crc32c" => return checksum(Checksum::Crc32c, "end"),
        "fletcher32" => return checksum(Checksum::Fletcher32, "end"),
        "crc32" => return checksum(Checksum::Crc32, "start"),
        "adler32" => return checksum(Checksum::Adler32, "start"),
        _ => return Ok(None),
    }))
}

/// A filter, and whether the elements that it stores are big endian, if it says so.
type Filtered = (Filter, Option<bool>);

/// The filter of this name, behind those that `chain` has: `None` if there is none,
/// `Some(None)` for one that needs no undoing.
fn filter(name: &str, config: &Config, chain: &Chain) -> Result<Option<Option<Filtered>>> {
    let current = chain.stored_dtype();
    let one_type = |key: &str| -> Result<Option<(DType, Option<bool>)>> {
        match config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => dtype_of_filter(name).map(Some),
            Some(other) => Err(corrupt(format!("{key} {other} of {name:?} is not a data type"))),
        }
    };
    let types = |of_decoded: &str, of_stored: &str| -> Result<(DType, DType, Option<bool>)> {
        let (decoded, order) = one_type(of_decoded)?.unwrap_or((current, None));
        let (stored, order) = one_type(of_stored)?.unwrap_or((decoded, order));
        // numcodecs takes integers of one size for one another.
        let alike = |a: DType, b: DType| a.size() == b.size() && !a.is_float() && !b.is_float();
        if decoded != current && !alike(decoded, current) {
            return Err(unsupported(format!(
                "filter {name:?} is of {decoded} and is given {current}"
            )));
        }
        Ok((if alike(decoded, current) { current } else { decoded }, stored, order))
    };
    if chain.filters.contains(&Filter::PackBits) && name != "shuffle" {
        return Ok(None);
    }
    let number = |key: &str| {
        let value = config.get(key).and_then(Value::as_f64).filter(|n| n.is_finite());
        value.ok_or_else(|| corrupt(format!("filter {name:?} has no number {key:?}")))
    };
    let (filter, order) = match name {
        "bitround" => return Ok(Some(None)),
        "delta" => {
            let (decoded, stored, order) = types("dtype", "astype")?;
            if stored.is_float() && !decoded.is_float() {
                return Err(unsupported(format!("differences of {decoded} stored as {stored}")));
            }
            (Filter::Delta { decoded, stored }, order)
        }
        "fixedscaleoffset" => {
            let (decoded, stored, order) = types("dtype", "astype")?;
            let (scale, offset) = (number("scale")?, number("offset")?);
            (Filter::ScaleOffset { scale, offset, decoded, stored }, order)
        }
        "quantize" => {
            let (decoded, stored, order) = types("dtype", "astype")?;
            (Filter::Cast { decoded, stored }, order)
        }
        "astype" => {
            let (decoded, stored, order) = types("decode_dtype", "encode_dtype")?;
            (Filter::Cast { decoded, stored }, order)
        }
        "packbits" if current == DType::Bool => (Filter::PackBits, None),
        "packbits" => return Err(unsupported(format!("filter \"packbits\" of {current}"))),
        _ => return Ok(None),
    };
    Ok(Some(Some((filter, order))))
}

/// A type as filters name it: NumPy's string, with or without the byte order, or its name.
fn dtype_of_filter(name: &str) -> Result<(DType, Option<bool>)> {
    if let Some(dtype) = DType::from_name(name) {
        return Ok((dtype, None));
    }
    match name.starts_with(['<', '>', '|', '=']) {
        true if name.starts_with('=') => {
            dtype_v2(&name.replacen('=', "<", 1)).map(|(dtype, _)| (dtype, None))
        }
        true => dtype_v2(name).map(|(dtype, big)| (dtype, Some(big))),
        false => dtype_v2(&format!("<{name}")).map(|(dtype, _)| (dtype, None)),
    }
}

/// A codec's configuration.
pub(super) fn config(meta: &MetadataV3) -> Config {
    meta.configuration().cloned().map(Into::into).unwrap_or_default()
}

/// A list of lengths in a configuration.
pub(super) fn dims(config: &Config, key: &str) -> Result<Dims> {
    config
        .get(key)
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(Value::as_u64).collect())
        .ok_or_else(|| corrupt(format!("{key} is not a list of lengths")))
}

fn codecs(config: &Config, key: &str) -> Result<Vec<MetadataV3>> {
    let list = config.get(key).cloned().unwrap_or(Value::Null);
    serde_json::from_value(list).map_err(|e| corrupt(format!("{key} is not a list of codecs: {e}")))
}

/// A transpose codec's order of axes; early writers said `"C"` or `"F"`.
fn order(config: &Config, rank: usize) -> Result<SmallVec<[usize; 6]>> {
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

fn sharding(config: &Config, dtype: DType, objects: &Objects) -> Result<(Chain, Shard)> {
    let inner = dims(config, "chunk_shape")?;
    if !objects.are_divided_by(&inner) {
        let shards = objects.largest();
        return Err(corrupt(format!("inner chunks {inner:?} do not divide shards {shards:?}")));
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chain_of(list: Value, dtype: DType, rank: usize) -> Result<Chain> {
        let codecs: Vec<MetadataV3> = serde_json::from_value(list).unwrap();
        chain(&codecs, dtype, rank)
    }

    #[test]
    fn transposes_compose() {
        let codecs = json!([
            {"name": "transpose", "configuration": {"order": [1, 2, 0]}},
            {"name": "transpose", "configuration": {"order": [1, 2, 0]}},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ]);
        assert_eq!(chain_of(codecs, DType::U8, 3).unwrap().order[..], [2, 0, 1]);
    }

    #[test]
    fn filters_fit_one_another_or_are_refused() {
        let delta =
            json!({"name": "numcodecs.delta", "configuration": {"dtype": "<i4", "astype": "<i2"}});
        let bytes = json!({"name": "bytes", "configuration": {"endian": "big"}});
        let turn = json!({"name": "transpose", "configuration": {"order": [1, 0]}});
        let bits = json!({"name": "numcodecs.packbits"});
        let of = |list: Value, dtype| chain_of(list, dtype, 2);
        let chain = of(json!([delta, bytes]), DType::U32).unwrap();
        assert_eq!(chain.filters[..], [Filter::Delta { decoded: DType::U32, stored: DType::I16 }]);
        assert!(chain.swap == cfg!(target_endian = "little"));
        for (list, dtype) in [
            (json!([delta, bytes]), DType::F32),
            (json!([delta, turn, bytes]), DType::I32),
            (json!([bytes, delta]), DType::I32),
            (json!([bits, bytes]), DType::U8),
            (json!([bits, delta, bytes]), DType::Bool),
            (json!([{"name": "packbits"}, bytes]), DType::Bool),
            (json!([{"name": "sharding_indexed"}, {"name": "zstd"}]), DType::U8),
        ] {
            let error = of(list.clone(), dtype).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{list}: {error}");
        }
    }
}
