//! The block kernels of linear algebra: factorisations of blocks of doubles that are matrices.
//!
//! A block is copied, column after column, into scratch, and factored there ([`dense`](super::dense)).

use super::{
    BlockCx, BlockKernel, carve, carved,
    dense::{cholesky, eliminate, reflect, singular, substitute, unreflect},
    exactly,
};
use freeboard_formats::{ChunkMut, ChunkView, DType, Region};
use std::borrow::Cow;

/// What is made of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixOp {
    /// The triangle R of its QR factorisation, with a diagonal that is not negative.
    Triangle,
    /// The orthonormal columns Q of its QR factorisation.
    Orthonormal,
    /// These, multiplied by a second matrix.
    OrthonormalTimes,
    /// Of one with no more columns than rows, its singular value decomposition: the rows of U, one row of singular values, the
    /// rows of the transpose of V.
    Singular,
    /// The solution X of A X = B.
    Solve,
    /// The determinant, a matrix of one element.
    Determinant,
    /// The lower triangle of its Cholesky factorisation.
    Cholesky,
}

/// [`MatrixOp`] of each block, which is a matrix of float64 behind axes of length 1.
#[derive(Clone, Copy, Debug)]
pub struct Matrix(pub MatrixOp);

/// Rows and columns of a block.
fn sides(shape: &[u64]) -> [usize; 2] {
    match shape {
        [.., rows, columns] => [*rows as usize, *columns as usize],
        _ => [1, 1],
    }
}

/// Copies a matrix, column after column.
fn load(view: &ChunkView<'_>, out: &mut [f64]) {
    let [rows, columns] = sides(view.shape());
    let strides = view.strides();
    let strides = [strides[strides.len() - 1], strides[strides.len() - 2]];
    let turned = view.restride(0, &[columns as u64, rows as u64][..], &strides[..]);
    turned.copy_run(0, bytemuck::cast_slice_mut(out));
}

/// Copies columns of `rows` elements into rows `first` and behind of `out`.
fn put(columns: &[f64], rows: usize, first: usize, out: &mut ChunkMut<'_>) {
    let (rank, count) = (out.shape().len(), (columns.len() / rows.max(1)) as u64);
    let mut part = Region::whole(out.shape());
    (part.start[rank - 2], part.shape[rank - 2]) = (first as u64, rows as u64);
    let mut strides = vec![0; rank];
    (strides[rank - 2], strides[rank - 1]) = (1, rows as isize);
    let view = ChunkView::of(columns, &[count, rows as u64]);
    out.sub(&part).assign(&view.restride(0, &part.shape[..], &strides[..]));
}

impl BlockKernel for Matrix {
    fn name(&self) -> Cow<'static, str> {
        match self.0 {
            MatrixOp::Triangle => "qr triangle",
            MatrixOp::Orthonormal => "qr columns",
            MatrixOp::OrthonormalTimes => "qr columns times",
            MatrixOp::Singular => "svd",
            MatrixOp::Solve => "solve",
            MatrixOp::Determinant => "det",
            MatrixOp::Cholesky => "cholesky",
        }
        .into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let Some(first) = inputs.first() else { return 0 };
        let [rows, columns] = sides(&first.shape);
        let doubles = |count: usize| carved::<f64>(count);
        let matrix = doubles(rows.saturating_mul(columns));
        let made = doubles(output.volume() as usize);
        matrix.saturating_add(match self.0 {
            MatrixOp::Triangle => 2 * doubles(rows.min(columns)) + made,
            MatrixOp::Orthonormal | MatrixOp::OrthonormalTimes => {
                2 * doubles(rows.min(columns)) + made
            }
            MatrixOp::Singular => doubles(columns) + 2 * doubles(columns.saturating_mul(columns)),
            MatrixOp::Solve => carved::<u64>(rows) + made,
            MatrixOp::Determinant => carved::<u64>(rows),
            MatrixOp::Cholesky => 0,
        })
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let two = matches!(self.0, MatrixOp::OrthonormalTimes | MatrixOp::Solve);
        let (first, second) = match two {
            true => {
                let [first, second] = exactly(inputs, &self.name())?;
                (first, Some(second))
            }
            false => (&exactly::<1>(inputs, &self.name())?[0], None),
        };
        if inputs.iter().any(|input| input.dtype() != DType::F64) || out.dtype() != DType::F64 {
            return Err(format!("{} of what is not float64", self.name()));
        }
        let [rows, columns] = sides(first.shape());
        let a = carve::<f64>(&mut scratch, rows * columns);
        load(first, a);
        match self.0 {
            MatrixOp::Triangle => {
                let count = rows.min(columns);
                let [factors, signs] = [(); 2].map(|()| carve(&mut scratch, count));
                let upper = carve::<f64>(&mut scratch, count * columns);
                reflect(a, rows, factors, signs);
                upper.fill(0.0);
                for (j, (to, from)) in
                    upper.chunks_exact_mut(count).zip(a.chunks_exact(rows)).enumerate()
                {
                    let held = count.min(j + 1);
                    to[..held].copy_from_slice(&from[..held]);
                }
                put(upper, count, 0, &mut out);
            }
            MatrixOp::Orthonormal | MatrixOp::OrthonormalTimes => {
                let count = rows.min(columns);
                let [factors, signs] = [(); 2].map(|()| carve(&mut scratch, count));
                reflect(a, rows, factors, signs);
                let [_, made] = sides(out.shape());
                let c = carve::<f64>(&mut scratch, rows * made);
                c.fill(0.0);
                for (j, column) in c.chunks_exact_mut(rows).enumerate() {
                    match second {
                        Some(second) => {
                            let mut part = Region::whole(second.shape());
                            let last = part.shape.len() - 1;
                            (part.start[last], part.shape[last]) = (j as u64, 1);
                            load(&second.sub(&part), &mut column[..count]);
                        }
                        None => column[j] = 1.0,
                    }
                }
                unreflect(a, rows, factors, signs, c);
                put(c, rows, 0, &mut out);
            }
            MatrixOp::Singular => {
                let values = carve::<f64>(&mut scratch, columns);
                let [v, turned] = [(); 2].map(|()| carve::<f64>(&mut scratch, columns * columns));
                singular(a, rows, values, v)?;
                for (i, to) in turned.chunks_exact_mut(columns.max(1)).enumerate() {
                    to.iter_mut().zip(v.chunks_exact(columns)).for_each(|(to, v)| *to = v[i]);
                }
                put(a, rows, 0, &mut out);
                put(values, 1, rows, &mut out);
                put(turned, columns, rows + 1, &mut out);
            }
            MatrixOp::Solve => {
                let pivots = carve::<u64>(&mut scratch, rows);
                let [_, made] = sides(out.shape());
                let b = carve::<f64>(&mut scratch, rows * made);
                second.into_iter().for_each(|second| load(second, b));
                eliminate(a, rows, pivots).ok_or("singular matrix")?;
                substitute(a, rows, pivots, b);
                put(b, rows, 0, &mut out);
            }
            MatrixOp::Determinant => {
                let pivots = carve::<u64>(&mut scratch, rows);
                let product = match eliminate(a, rows, pivots) {
                    Some(exchanged) => {
                        let sign = if exchanged % 2 == 0 { 1.0 } else { -1.0 };
                        a.iter().step_by(rows + 1).fold(sign, |product, v| product * v)
                    }
                    None => 0.0,
                };
                put(&[product], 1, 0, &mut out);
            }
            MatrixOp::Cholesky => {
                if !cholesky(a, rows) {
                    return Err(
                        "a matrix that is not positive definite has no Cholesky factors".into()
                    );
                }
                put(a, rows, 0, &mut out);
            }
        }
        Ok(())
    }
}
