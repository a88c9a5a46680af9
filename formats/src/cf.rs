//! Packed values and missing ones, as the conventions of netCDF have it.
//!
//! Attributes tell what stored elements stand for: `_FillValue` and `missing_value` for none,
//! which become NaN, any other for itself times `scale_factor` plus `add_offset` (NetCDF Users
//! Guide, "Attribute Conventions"; CF Conventions 1.11, sections 2.5.1 and 8.1). This is asked for when
//! something is opened, and holds for every format that keeps attributes.

use crate::{
    dtype::{DType, Element, Scalar},
    error::Result,
    region::Region,
    source::{ChunkSource, Fingerprint, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::ChunkMut,
    with_dtype,
};
use serde_json::Value;
use smallvec::SmallVec;
use std::sync::Arc;

/// The attributes that say how values are packed; what is unpacked lacks them.
const ATTRIBUTES: [&str; 4] = ["_FillValue", "missing_value", "scale_factor", "add_offset"];
/// What [`SourceSpec::options`] says of it.
pub(crate) const OPTION: &str = "decode_cf";

/// A source whose elements are unpacked as they are read.
#[derive(Debug)]
struct Decoded {
    packed: Arc<dyn ChunkSource>,
    meta: Meta,
    /// Stored elements that stand for none.
    missing: SmallVec<[Scalar; 2]>,
    scale: f64,
    offset: f64,
}

/// The source with its elements unpacked, or as it is where its attributes do not say how.
///
/// Elements become f32 where they are stored as integers of up to 16 bits or f32, else f64;
/// each is computed in f64 and rounded once.
pub(crate) fn decoded(packed: Arc<dyn ChunkSource>) -> Arc<dyn ChunkSource> {
    let stored = packed.meta();
    let of = |name: &str| stored.attributes.get(name);
    if stored.dtype == DType::Bool || ATTRIBUTES.iter().all(|name| of(name).is_none()) {
        return packed;
    }
    let mut meta = stored.clone();
    meta.dtype = match stored.dtype {
        DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::F32 => DType::F32,
        _ => DType::F64,
    };
    let attributes = Arc::make_mut(&mut meta.attributes);
    ATTRIBUTES.iter().for_each(|name| drop(attributes.remove(*name)));
    let missing = ["_FillValue", "missing_value"].into_iter().filter_map(of);
    let missing = missing.flat_map(|value| numbers(value, stored.dtype)).collect();
    let factor = |name: &str, else_: f64| {
        let value = of(name).and_then(|value| numbers(value, DType::F64).next());
        value.map_or(else_, Scalar::as_f64)
    };
    let (scale, offset) = (factor("scale_factor", 1.0), factor("add_offset", 0.0));
    Arc::new(Decoded { meta, missing, scale, offset, packed })
}

/// The numbers of an attribute, one or an array of them, as `dtype`.
fn numbers(value: &Value, dtype: DType) -> impl Iterator<Item = Scalar> + '_ {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    values.iter().filter_map(move |value| {
        let scalar = match (value.as_i64(), value.as_u64(), value.as_f64()) {
            (Some(value), ..) => Scalar::I64(value),
            (_, Some(value), _) => Scalar::U64(value),
            (.., Some(value)) => Scalar::F64(value),
            _ => return None,
        };
        Some(scalar.cast(dtype))
    })
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
            with_dtype!(dtype, T => self.unpack::<T>(now, run));
            stored = rest;
            Ok(())
        })
    }

    fn mask(&self) -> Option<Arc<dyn ChunkSource>> {
        self.packed.mask()
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.packed.fingerprint()?.and(Fingerprint::of(OPTION.as_bytes())))
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
    use crate::{
        grid::Grid,
        memory::MemorySource,
        source::{Cancel, FileCache},
    };
    use serde_json::json;

    fn unpacked(stored: &[i16], attributes: Value) -> (Meta, Vec<f32>) {
        let bytes: &[u8] = bytemuck::cast_slice(stored);
        let shape = [2, stored.len() as u64 / 2];
        let source = MemorySource::from_bytes(DType::I16, Grid::whole(&shape), bytes);
        let Value::Object(attributes) = attributes else { unreachable!() };
        let source = source.with_meta(|meta| {
            meta.attributes = Arc::new(attributes.into_iter().collect());
        });
        let source = decoded(Arc::new(source));
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
        let (meta, out) = unpacked(&[0, 2, -99, 8, 0, 1, 7, -4], attributes);
        assert_eq!(meta.dtype, DType::F32);
        assert_eq!(meta.attributes.keys().collect::<Vec<_>>(), ["units"]);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let nan = f32::NAN;
        assert_eq!(bits(&out), bits(&[11.0, nan, nan, 10.5, nan, 8.0]));
    }
}
