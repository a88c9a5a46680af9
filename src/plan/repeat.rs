//! A constant as a source, for functions that are handed blocks of it.

use freeboard_formats::{
    ChunkMut, ChunkSource, Fingerprint, Grid, Meta, ReadCost, ReadCx, Region, Scalar, SourceSpec,
    Storage,
};

/// One value everywhere.
#[derive(Debug)]
pub(super) struct Repeated {
    value: Scalar,
    meta: Meta,
}

impl Repeated {
    pub fn new(value: Scalar, grid: Grid) -> Repeated {
        Repeated { value, meta: Meta::new(value.dtype(), grid) }
    }
}

impl ChunkSource for Repeated {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        ReadCost { bytes: 0, decoded: region.volume() * self.meta.dtype.size() as u64, scratch: 0 }
    }

    fn read(
        &self,
        _: &Region,
        mut out: ChunkMut<'_>,
        _: &mut ReadCx<'_>,
    ) -> freeboard_formats::Result<()> {
        out.fill(self.value);
        Ok(())
    }

    fn fingerprint(&self) -> freeboard_formats::Result<Fingerprint> {
        Ok(Fingerprint::of(&self.value.bytes().0))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec::default()
    }

    fn storage(&self) -> Storage {
        Storage { format: "constant".into(), ..Storage::default() }
    }
}
