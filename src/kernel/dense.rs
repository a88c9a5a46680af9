//! Factorisations of small dense matrices of doubles, in memory that is lent: column after column.
//!
//! Householder reflections and LU as in Golub and Van Loan, *Matrix Computations* (4th edition, algorithms
//! 5.2.1 and 3.4.1); singular values by one-sided Jacobi rotations, which find small ones to high relative
//! accuracy (Demmel and Veselić 1992). Each runs on one thread in one order, so results are the same to the bit.

/// Numbers that are summed side by side: the order of additions is part of the result.
const LANES: usize = 8;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (heads, tails) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = heads.remainder().iter().zip(tails.remainder()).map(|(a, b)| a * b).sum::<f64>();
    for (a, b) in heads.zip(tails) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Adds `factor` times `b` to `a`.
fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
}

/// The length of a vector, without overflow.
fn norm(a: &[f64]) -> f64 {
    let most = a.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    if most == 0.0 || !most.is_finite() {
        return if a.iter().any(|v| v.is_nan()) { f64::NAN } else { most };
    }
    // A power of two, so that dividing by it rounds nothing.
    let scale = most.log2().floor().exp2();
    match (1e-100..1e100).contains(&scale) {
        true => dot(a, a).sqrt(),
        false => a.iter().map(|v| (v / scale) * (v / scale)).sum::<f64>().sqrt() * scale,
    }
}

/// Factors the matrix `a` of `rows` rows into reflections and a triangle, whose diagonal is not negative. The triangle is left
/// above and on the diagonal; below it the reflections, each with a first element of 1 that is left out, and `factors`. The
/// signs that make the diagonal so are in `signs`.
pub(super) fn reflect(a: &mut [f64], rows: usize, factors: &mut [f64], signs: &mut [f64]) {
    let columns = a.len() / rows.max(1);
    for j in 0..rows.min(columns) {
        let (done, rest) = a.split_at_mut((j + 1) * rows);
        let column = &mut done[j * rows + j..];
        let (head, below) = column.split_first_mut().expect("a row is left");
        let length = norm(below);
        let (alpha, size) = (*head, norm(&[*head, length]));
        (factors[j], signs[j]) = (0.0, if alpha < 0.0 { -1.0 } else { 1.0 });
        // NaN is passed on, too.
        if length != 0.0 {
            let beta = if alpha < 0.0 { size } else { -size };
            factors[j] = (beta - alpha) / beta;
            below.iter_mut().for_each(|v| *v /= alpha - beta);
            (*head, signs[j]) = (beta, if beta < 0.0 { -1.0 } else { 1.0 });
        }
        for other in rest.chunks_exact_mut(rows) {
            mirror(&mut other[j..], below, factors[j]);
        }
    }
    for (i, &sign) in signs.iter().enumerate().take(rows.min(columns)) {
        for j in i..columns {
            a[j * rows + i] *= sign;
        }
    }
}

/// Applies the reflection along (1, `below`) to a column.
fn mirror(column: &mut [f64], below: &[f64], factor: f64) {
    let Some((head, rest)) = column.split_first_mut() else { return };
    let part = factor * (*head + dot(below, rest));
    *head -= part;
    add(rest, -part, below);
}

/// Multiplies the columns `c`, of as many rows, by the orthogonal matrix that [`reflect`] left in `a`.
pub(super) fn unreflect(a: &[f64], rows: usize, factors: &[f64], signs: &[f64], c: &mut [f64]) {
    let count = rows.min(a.len() / rows.max(1));
    for column in c.chunks_exact_mut(rows) {
        column.iter_mut().zip(&signs[..count]).for_each(|(v, sign)| *v *= sign);
        for j in (0..count).rev() {
            mirror(&mut column[j..], &a[j * rows + j + 1..(j + 1) * rows], factors[j]);
        }
    }
}

/// The singular value decomposition of a matrix with at least as many rows as columns. What is in `a` becomes its left singular
/// vectors, `values` its singular values from the greatest on, and `v` its right singular vectors, a column each, of which the
/// greatest element is positive.
pub(super) fn singular(
    a: &mut [f64],
    rows: usize,
    values: &mut [f64],
    v: &mut [f64],
) -> Result<(), String> {
    /// Sweeps over all pairs of columns; ten are many.
    const SWEEPS: usize = 60;
    /// The square of a length that is nothing beside a greatest element of about 1.
    const NOTHING: f64 = 1e-280;
    let n = values.len();
    // What rounding leaves of the product of orthogonal columns, with room.
    let tolerance = 4.0 * f64::EPSILON * (rows as f64).sqrt();
    if a.iter().any(|v| !v.is_finite()) {
        return Err("singular values of a matrix with infinities or NaN".into());
    }
    // Products of what is very large or very small would not be numbers.
    let most = a.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let scale = if most > 0.0 { most.log2().floor().exp2() } else { 1.0 };
    a.iter_mut().for_each(|v| *v /= scale);
    v.fill(0.0);
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    let mut turned = true;
    for _ in 0..SWEEPS {
        if !std::mem::take(&mut turned) {
            break;
        }
        for i in 0..n {
            for j in i + 1..n {
                let [x, y] = pair(a, rows, i, j);
                let (p, q, both) = (dot(x, x), dot(y, y), dot(x, y));
                // What rounding left of nothing, smaller with each rotation, would end in subnormal numbers.
                if p.min(q) < NOTHING {
                    if p < NOTHING { x } else { y }.fill(0.0);
                    continue;
                }
                if both == 0.0 || both.abs() <= tolerance * (p.sqrt() * q.sqrt()) {
                    continue;
                }
                turned = true;
                let zeta = (q - p) / (2.0 * both);
                let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                rotate(x, y, cosine, cosine * tangent);
                let [x, y] = pair(v, n, i, j);
                rotate(x, y, cosine, cosine * tangent);
            }
        }
    }
    if turned {
        return Err("singular values that do not converge".into());
    }
    for (value, column) in values.iter_mut().zip(a.chunks_exact(rows.max(1))) {
        *value = norm(column);
    }
    // Few columns: the greatest is looked for each time.
    for i in 0..n {
        let next = (i..n).fold(i, |best, j| if values[j] > values[best] { j } else { best });
        values.swap(i, next);
        if next != i {
            let [x, y] = pair(a, rows, i, next);
            x.swap_with_slice(y);
            let [x, y] = pair(v, n, i, next);
            x.swap_with_slice(y);
        }
        let right = &mut v[i * n..(i + 1) * n];
        let greatest =
            right.iter().fold(0.0f64, |most, v| if v.abs() > most.abs() { *v } else { most });
        let sign = if greatest < 0.0 { -1.0 } else { 1.0 };
        right.iter_mut().for_each(|v| *v *= sign);
        let divisor = values[i];
        match divisor > 0.0 {
            true => a[i * rows..(i + 1) * rows].iter_mut().for_each(|v| *v *= sign / divisor),
            false => complete(a, rows, i),
        }
        values[i] *= scale;
    }
    Ok(())
}

/// Two columns, of which the first is before the second.
fn pair(a: &mut [f64], rows: usize, i: usize, j: usize) -> [&mut [f64]; 2] {
    let (first, second) = a.split_at_mut(j * rows);
    [&mut first[i * rows..(i + 1) * rows], &mut second[..rows]]
}

fn rotate(x: &mut [f64], y: &mut [f64], cosine: f64, sine: f64) {
    for (x, y) in x.iter_mut().zip(y) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

/// Makes column `i` one of length 1 that is orthogonal to those before it, which are so.
fn complete(a: &mut [f64], rows: usize, i: usize) {
    for start in 0..rows {
        let (before, rest) = a.split_at_mut(i * rows);
        let column = &mut rest[..rows];
        column.fill(0.0);
        column[start] = 1.0;
        for _ in 0..2 {
            for other in before.chunks_exact(rows) {
                let part = dot(other, column);
                add(column, -part, other);
            }
        }
        let length = norm(column);
        // Of so many unit vectors one is at least so far from what the others span.
        if length * length * 2.0 > (rows - i) as f64 / rows as f64 {
            column.iter_mut().for_each(|v| *v /= length);
            return;
        }
    }
}

/// Factors a square matrix of side `n` into triangles, rows exchanged as `pivots` tells; how often, or `None`
/// if it is singular.
pub(super) fn eliminate(a: &mut [f64], n: usize, pivots: &mut [u64]) -> Option<usize> {
    let mut exchanged = 0;
    for j in 0..n {
        let column = &a[j * n..(j + 1) * n];
        let best =
            (j..n).fold(j, |best, i| if column[i].abs() > column[best].abs() { i } else { best });
        pivots[j] = best as u64;
        if column[best] == 0.0 {
            return None;
        }
        if best != j {
            exchanged += 1;
            a.chunks_exact_mut(n).for_each(|column| column.swap(j, best));
        }
        let (done, rest) = a.split_at_mut((j + 1) * n);
        let (pivot, below) = done[j * n + j..].split_first_mut().expect("a pivot");
        below.iter_mut().for_each(|v| *v /= *pivot);
        for other in rest.chunks_exact_mut(n) {
            let (head, tail) = other[j..].split_first_mut().expect("a row");
            add(tail, -*head, below);
        }
    }
    Some(exchanged)
}

/// Solves for the columns `b` what [`eliminate`] factored.
pub(super) fn substitute(a: &[f64], n: usize, pivots: &[u64], b: &mut [f64]) {
    for column in b.chunks_exact_mut(n) {
        for (j, &pivot) in pivots.iter().enumerate() {
            column.swap(j, pivot as usize);
        }
        for j in 0..n {
            let (head, tail) = column[j..].split_first_mut().expect("a row");
            add(tail, -*head, &a[j * n + j + 1..(j + 1) * n]);
        }
        for j in (0..n).rev() {
            let (before, rest) = column.split_at_mut(j);
            rest[0] /= a[j * n + j];
            add(before, -rest[0], &a[j * n..j * n + j]);
        }
    }
}

/// The lower triangle whose product with its transpose is the symmetric matrix `a` of side `n`, of which the
/// lower triangle is read; whether there is one.
pub(super) fn cholesky(a: &mut [f64], n: usize) -> bool {
    for j in 0..n {
        let (done, rest) = a.split_at_mut((j + 1) * n);
        let column = &mut done[j * n..];
        column[..j].fill(0.0);
        if column[j].is_nan() || column[j] <= 0.0 {
            return false;
        }
        let root = column[j].sqrt();
        column[j..].iter_mut().for_each(|v| *v /= root);
        column[j] = root;
        for (other, i) in rest.chunks_exact_mut(n).zip(j + 1..) {
            add(&mut other[i..], -column[i], &column[i..]);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn product(a: &[f64], rows: usize, b: &[f64]) -> Vec<f64> {
        let inner = a.len() / rows;
        let column = |b: &[f64]| -> Vec<f64> {
            let mut sum = vec![0.0; rows];
            b.iter().zip(a.chunks_exact(rows)).for_each(|(&b, a)| add(&mut sum, b, a));
            sum
        };
        b.chunks_exact(inner).flat_map(column).collect()
    }

    fn turned(a: &[f64], rows: usize) -> Vec<f64> {
        (0..rows).flat_map(|i| a.iter().skip(i).step_by(rows).copied()).collect()
    }

    fn near(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(10.0))
    }

    fn identity(n: usize) -> Vec<f64> {
        (0..n * n).map(|i| f64::from(u8::from(i % (n + 1) == 0))).collect()
    }

    proptest! {
        #[test]
        fn triangles_and_reflections(rows in 1usize..20, columns in 1usize..9, seed in proptest::collection::vec(-4i8..5, 171)) {
            let a: Vec<f64> = seed[..rows * columns].iter().map(|&v| f64::from(v)).collect();
            let (mut r, count) = (a.clone(), rows.min(columns));
            let (mut factors, mut signs) = (vec![0.0; count], vec![0.0; count]);
            reflect(&mut r, rows, &mut factors, &mut signs);
            let mut q = vec![0.0; rows * count];
            (0..count).for_each(|i| q[i * rows + i] = 1.0);
            unreflect(&r, rows, &factors, &signs, &mut q);
            let upper: Vec<f64> = (0..columns).flat_map(|j| (0..count).map(move |i| (i, j))).map(|(i, j)| if i <= j { r[j * rows + i] } else { 0.0 }).collect();
            prop_assert!((0..count).all(|i| upper[i * count + i] >= 0.0));
            prop_assert!(near(&product(&q, rows, &upper), &a));
            prop_assert!(near(&product(&turned(&q, rows), count, &q), &identity(count)));
        }

        #[test]
        fn singular_values(n in 1usize..8, more in 0usize..6, rank in 1usize..8, seed in proptest::collection::vec(-4i8..5, 104)) {
            let rows = n + more;
            // Of a rank that may be less than its columns.
            let a: Vec<f64> = (0..rows * n).map(|i| f64::from(seed[i % rows + rows * (i / rows % rank)])).collect();
            let (mut u, mut values, mut v) = (a.clone(), vec![0.0; n], vec![0.0; n * n]);
            singular(&mut u, rows, &mut values, &mut v).unwrap();
            prop_assert!(values.is_sorted_by(|a, b| a >= b));
            prop_assert!(near(&product(&turned(&u, rows), n, &u), &identity(n)));
            prop_assert!(near(&product(&turned(&v, n), n, &v), &identity(n)));
            let scaled: Vec<f64> = u.chunks_exact(rows).zip(&values).flat_map(|(u, value)| u.iter().map(move |u| u * value)).collect();
            prop_assert!(near(&product(&scaled, rows, &turned(&v, n)), &a));
        }

        #[test]
        fn equations(n in 1usize..9, seed in proptest::collection::vec(-9i8..9, 144)) {
            let mut a: Vec<f64> = seed[..n * n].iter().map(|&v| f64::from(v)).collect();
            (0..n).for_each(|i| a[i * n + i] += 40.0);
            let x: Vec<f64> = seed[64..64 + 2 * n].iter().map(|&v| f64::from(v)).collect();
            let (mut b, mut factors, mut pivots) = (product(&a, n, &x), a.clone(), vec![0; n]);
            eliminate(&mut factors, n, &mut pivots).unwrap();
            substitute(&factors, n, &pivots, &mut b);
            prop_assert!(near(&b, &x));
            let square = product(&a, n, &turned(&a, n));
            let mut lower = square.clone();
            prop_assert!(cholesky(&mut lower, n));
            prop_assert!(near(&product(&lower, n, &turned(&lower, n)).iter().map(|v| v / 1e3).collect::<Vec<_>>(), &square.iter().map(|v| v / 1e3).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn what_has_no_factors() {
        assert_eq!(eliminate(&mut [1.0, 2.0, 2.0, 4.0], 2, &mut [0; 2]), None);
        assert!(!cholesky(&mut [1.0, 2.0, 2.0, 1.0], 2));
        assert!(singular(&mut [f64::NAN], 1, &mut [0.0], &mut [0.0]).is_err());
        let (mut a, mut values, mut v) = ([1e-200, 1e-200, 1e200, -1e200], [0.0; 2], [0.0; 4]);
        singular(&mut a, 2, &mut values, &mut v).unwrap();
        assert!((values[0] / 1e200 - 2f64.sqrt()).abs() < 1e-12);
    }
}
