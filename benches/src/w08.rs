//! w08: a product of matrices, the right one transposed, and the sum of its elements.

use crate::context::{Context, Outcome, Result, open};
use freeboard::Array;
use std::time::Instant;

/// `(a @ b.T).sum()`, by the product.
pub(crate) fn product(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let matrix = |name: &str| -> Result<Array<f64>> {
        Ok(open(&cx.data("w08").join(name))?.typed::<f64>()?)
    };
    let (a, b) = (matrix("a.zarr")?, matrix("b.zarr")?);
    let total = session.compute(a.matmul(&b.t()).sum(..).item())?;
    Ok(Outcome::since(start).number("total", total))
}
