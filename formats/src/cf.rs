//! Packed values and missing ones, as the conventions of netCDF have it.
//!
//! Attributes tell what stored elements stand for: `_FillValue` and `missing_value` for none,
//! which become NaN, any other for itself times `scale_factor` plus `add_offset`, after integers
//! were taken as `_Unsigned` says (NetCDF Users Guide, "Attribute Conventions"; CF Conventions
//! 1.11, sections 2.5.1 and 8.1). The fill value of an array of Zarr's version 2 is its
//! `_FillValue`, as xarray has it. This is asked for when something is opened, and holds for
//! every format that keeps attributes.

use crate::{
    dtype::{DType, Element, Scalar},
    error::{ErrorKind, FormatError, Result},
    region::Region,
    source::{
        ChunkSource, FileCache, Fingerprint, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage,
    },
    view::ChunkMut,
    with_dtype,
};
use serde_json::Value;
use smallvec::SmallVec;
use std::sync::Arc;

/// The attributes that say how values are packed; what is unpacked lacks them.
const ATTRIBUTES: [&str; 5] =
    ["_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"];
/// What [`SourceSpec::options`] says of it.
pub(crate) const OPTION: &str = "decode_cf";

/// A source whose elements are unpacked as they are read.
#[derive(Debug)]
struct Decoded {
    packed: Arc<dyn ChunkSource>,
    meta: Meta,
    /// What the stored elements are taken for: by `_Unsigned` of the other signedness.
    stored: DType,
    /// Stored elements that stand for none.
    missing: SmallVec<[Scalar; 2]>,
    scale: f64,
    offset: f64,
}

/// The source with its elements unpacked, or as it is where nothing says how.
///
/// Elements become f32 where they are stored as integers of up to 16 bits or f32, else f64;
/// each is computed in f64 and rounded once.
///
/// # Errors
/// If one of the attributes cannot be made sense of.
pub(crate) fn decoded(packed: Arc<dyn ChunkSource>) -> Result<Arc<dyn ChunkSource>> {
    let meta = packed.meta();
    let told = packed.missing_value();
    let of = |name: &str| meta.attributes.get(name).filter(|value| !value.is_null());
    let is_packed = told.is_some() || ATTRIBUTES.iter().any(|name| of(name).is_some());
    if meta.dtype == DType::Bool || !is_packed {
        return Ok(packed);
    }
    let unclear = |name: &str| {
        let value = of(name).map(Value::to_string).unwrap_or_default();
        FormatError::new(ErrorKind::Unsupported, format!("the attribute {name} is {value}"))
            .at(packed.spec().location)
            .help("open it without unpacking (--decode-cf), or mend the attribute")
    };
    let stored = match of("_Unsigned") {
        None => meta.dtype,
        Some(value) => {
            let unsigned = truth(value).ok_or_else(|| unclear("_Unsigned"))?;
            with_signedness(meta.dtype, !unsigned)
        }
    };
    let mut missing: SmallVec<[Scalar; 2]> = SmallVec::new();
    let mut lacks = |value: Scalar| {
        // What no element can be, none is. What is told as stored is seen as it is taken.
        let as_stored = || Some(exact(value, meta.dtype)?.cast(stored));
        missing.extend(exact(value, stored).or_else(as_stored));
    };
    told.into_iter().for_each(&mut lacks);
    for name in ["_FillValue", "missing_value"] {
        for value in of(name).into_iter().flat_map(each) {
            lacks(number(value).ok_or_else(|| unclear(name))?);
        }
    }
    let factor = |name: &str, else_: f64| match of(name).map(each) {
        None => Ok(else_),
        Some([value]) => number(value).map(Scalar::as_f64).ok_or_else(|| unclear(name)),
        Some(_) => Err(unclear(name)),
    };
    let (scale, offset) = (factor("scale_factor", 1.0)?, factor("add_offset", 0.0)?);
    let mut meta = meta.clone();
    meta.dtype = match stored {
        DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::F32 => DType::F32,
        _ => DType::F64,
    };
    let attributes = Arc::make_mut(&mut meta.attributes);
    ATTRIBUTES.iter().for_each(|name| drop(attributes.remove(*name)));
    Ok(Arc::new(Decoded { meta, stored, missing, scale, offset, packed }))
}

/// The values of an attribute, one or an array of them.
fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    }
}

/// A number, as JSON has it or in words: `NaN`, `-inf`, or as xarray writes floats of Zarr's
/// version 3, the bytes of an f64 in base 64.
fn number(value: &Value) -> Option<Scalar> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(Scalar::I64)
            .or_else(|| number.as_u64().map(Scalar::U64))
            .or_else(|| number.as_f64().map(Scalar::F64)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| base64_f64(text)).map(Scalar::F64)
        }
        _ => None,
    }
}

/// The f64 whose eight bytes, the lowest first, `text` is in base 64 (RFC 4648, section 4).
fn base64_f64(text: &str) -> Option<f64> {
    let digits = text.strip_suffix('=').filter(|digits| digits.len() == 11)?;
    let bits = digits.bytes().try_fold(0u128, |bits, digit| {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        Some(bits << 6 | u128::from(value))
    })?;
    // Eleven digits are 66 bits, the last two of which are unused.
    let bytes = ((bits >> 2) as u64).to_be_bytes();
    Some(f64::from_le_bytes(bytes))
}

/// A truth as netCDF's tools write it: `"true"`.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// The integers of the same size that are signed or not; other dtypes as they are.
fn with_signedness(dtype: DType, signed: bool) -> DType {
    match (dtype, signed) {
        (DType::U8, true) => DType::I8,
        (DType::U16, true) => DType::I16,
        (DType::U32, true) => DType::I32,
        (DType::U64, true) => DType::I64,
        (DType::I8, false) => DType::U8,
        (DType::I16, false) => DType::U16,
        (DType::I32, false) => DType::U32,
        (DType::I64, false) => DType::U64,
        (dtype, _) => dtype,
    }
}

/// The number as an element of `dtype`, if it is one: floats are rounded, integers are not.
fn exact(value: Scalar, dtype: DType) -> Option<Scalar> {
    let cast = value.cast(dtype);
    let is_same = match dtype.is_float() {
        true => cast.as_f64().is_finite() || !value.as_f64().is_finite(),
        false => whole(value).is_some_and(|value| whole(cast) == Some(value)),
    };
    is_same.then_some(cast)
}

/// The integer that a number is.
fn whole(value: Scalar) -> Option<i128> {
    match value {
        Scalar::U64(value) => Some(value.into()),
        Scalar::F32(_) | Scalar::F64(_) => {
            let value = value.as_f64();
            (value.fract() == 0.0 && value.abs() < 2f64.powi(64)).then_some(value as i128)
        }
        _ => match value.cast(DType::I64) {
            Scalar::I64(value) => Some(value.into()),
            _ => None,
        },
    }
}

impl Decoded {
    /// Unpacks `stored`, elements of `T`, into as many floats.
    fn unpack<T: Element>(&self, stored: &[u8], out: &mut [u8]) {
        let missing: SmallVec<[T::Repr; 2]> = self
            .missing
            .iter()
            .map(|scalar| {
                let (bytes, size) = scalar.bytes();
                bytemuck::pod_read_unaligned(&bytes[..size])
            })
            .collect();
        let value = |stored: &T::Repr| match missing.contains(stored) {
            true => f64::NAN,
            false => T::from_repr(*stored).to_scalar().as_f64() * self.scale + self.offset,
        };
        let stored: &[T::Repr] = bytemuck::cast_slice(stored);
        if self.meta.dtype == DType::F32 {
            let out: &mut [f32] = bytemuck::cast_slice_mut(out);
            out.iter_mut().zip(stored).for_each(|(out, stored)| *out = value(stored) as f32);
        } else {
            let out: &mut [f64] = bytemuck::cast_slice_mut(out);
            out.iter_mut().zip(stored).for_each(|(out, stored)| *out = value(stored));
        }
    }

    /// Bytes of `region` as it is stored.
    fn stored_bytes(&self, region: &Region) -> u64 {
        region.volume() * self.packed.meta().dtype.size() as u64
    }
}

impl ChunkSource for Decoded {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        let cost = self.packed.cost(region);
        let landing = self.stored_bytes(region).next_multiple_of(64);
        ReadCost { scratch: cost.scratch.saturating_add(landing), ..cost }
    }

    fn labels(&self, axis: usize) -> Option<&Labels> {
        self.packed.labels(axis)
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let dtype = self.packed.meta().dtype;
        let (landing, mut rest) = cx.split_scratch(self.stored_bytes(region) as usize);
        self.packed.read(region, ChunkMut::new(dtype, landing, &region.shape), &mut rest)?;
        // Runs come in C order, in which the stored elements lie.
        let mut stored = &*landing;
        out.try_for_each_run(|_, run| {
            let elements = run.len() / self.meta.dtype.size();
            let (now, rest) = stored.split_at(elements * dtype.size());
            with_dtype!(self.stored, T => self.unpack::<T>(now, run));
            stored = rest;
            Ok(())
        })
    }

    fn held(&self) -> u64 {
        self.packed.held() + self.meta.held()
    }

    fn mask(&self) -> Option<Arc<dyn ChunkSource>> {
        self.packed.mask()
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.packed.fingerprint()?.and(Fingerprint::of(OPTION.as_bytes())))
    }

    fn version(&self, region: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        self.packed.version(region, files)
    }

    fn spec(&self) -> SourceSpec {
        let mut spec = self.packed.spec();
        spec.options.insert(OPTION.to_owned(), "true".to_owned());
        spec
    }

    fn storage(&self) -> Storage {
        self.packed.storage()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grid::Grid, memory::MemorySource, source::Cancel};
    use serde_json::json;

    fn source(dtype: DType, bytes: &[u8], attributes: Value) -> Result<Arc<dyn ChunkSource>> {
        let shape = [2, (bytes.len() / dtype.size() / 2) as u64];
        let source = MemorySource::from_bytes(dtype, Grid::whole(&shape), bytes);
        let Value::Object(attributes) = attributes else { unreachable!() };
        decoded(Arc::new(source.with_meta(|meta| {
            meta.attributes = Arc::new(attributes.into_iter().collect());
        })))
    }

    fn unpacked<T: bytemuck::Pod + Element>(stored: &[T], attributes: Value) -> (Meta, Vec<f32>) {
        let source = source(T::DTYPE, bytemuck::cast_slice(stored), attributes).unwrap();
        let shape = source.meta().shape();
        let region = Region::new(vec![0, 1], vec![2, shape[1] - 1]);
        let mut out = vec![0f32; region.volume() as usize];
        let mut scratch = vec![0u64; source.cost(&region).scratch as usize / 8];
        let mut cx = ReadCx {
            scratch: bytemuck::cast_slice_mut(&mut scratch),
            limit: u64::MAX,
            files: &FileCache::default(),
            cancel: &Cancel::default(),
        };
        source.read(&region, ChunkMut::of(&mut out, &region.shape), &mut cx).unwrap();
        (source.meta().clone(), out)
    }

    #[test]
    fn values_are_scaled_and_missing_ones_are_nan() {
        let attributes = json!({
            "scale_factor": 0.5, "add_offset": 10, "_FillValue": -99, "missing_value": [7, 8],
            "units": "K",
        });
        let (meta, out) = unpacked(&[0i16, 2, -99, 8, 0, 1, 7, -4], attributes);
        assert_eq!(meta.dtype, DType::F32);
        assert_eq!(meta.attributes.keys().collect::<Vec<_>>(), ["units"]);
        let nan = f32::NAN;
        assert_eq!(bits(&out), bits(&[11.0, nan, nan, 10.5, nan, 8.0]));
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    /// Four elements unpacked, of which the first of each row is not looked at.
    fn both<T: bytemuck::Pod + Element>(stored: [T; 2], attributes: Value) -> Vec<u32> {
        let [a, b] = stored;
        bits(&unpacked(&[a, a, b, b], attributes).1)
    }

    #[test]
    fn what_no_element_can_be_is_not_missing() {
        let nan = f32::NAN;
        assert_eq!(both([32767i16, 0], json!({"missing_value": 1e20})), bits(&[32767.0, 0.0]));
        assert_eq!(both([241u8, 0], json!({"missing_value": -15})), bits(&[241.0, 0.0]));
        assert_eq!(both([7i8, 0], json!({"_FillValue": 0.5})), bits(&[7.0, 0.0]));
        assert_eq!(both([7i8, 0], json!({"_FillValue": 7.0})), bits(&[nan, 0.0]));
        assert_eq!(
            both([1e20f32, f32::INFINITY], json!({"_FillValue": 1e20})),
            bits(&[nan, f32::INFINITY])
        );
        assert_eq!(
            both([f32::INFINITY, 0.0], json!({"_FillValue": 1e300})),
            bits(&[f32::INFINITY, 0.0])
        );
    }

    #[test]
    fn integers_may_be_of_the_other_signedness() {
        let nan = f32::NAN;
        let of = |fill: i64| json!({"_Unsigned": "true", "_FillValue": fill, "scale_factor": 2});
        assert_eq!(both([-1i8, -2], of(-1)), bits(&[nan, 508.0]));
        assert_eq!(both([-1i8, -2], of(255)), bits(&[nan, 508.0]));
        assert_eq!(both([255u8, 3], json!({"_Unsigned": "false"})), bits(&[-1.0, 3.0]));
    }

    #[test]
    fn numbers_come_in_words_and_in_base_64() {
        let of = |text: &str| number(&text.into()).map(Scalar::as_f64);
        assert_eq!(of("AAAAAAA4j8A="), Some(-999.0));
        assert!(of("AAAAAAAA+H8=").unwrap().is_nan() && of("NaN").unwrap().is_nan());
        assert_eq!(of("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!((of("none"), of("AAAAAAA4j8A"), of("")), (None, None, None));
        for (name, value) in [
            ("_FillValue", json!("?")),
            ("missing_value", json!([1, {}])),
            ("scale_factor", json!([1, 2])),
            ("_Unsigned", json!("perhaps")),
        ] {
            let error = source(DType::F32, &[0; 16], json!({ name: value })).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
