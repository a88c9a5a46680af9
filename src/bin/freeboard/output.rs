//! Results, on stdout: as text for people, as JSON for programs.
//!
//! JSON has no infinities and no NaN: they are the strings `"inf"`, `"-inf"`, `"nan"`. A
//! float32 is printed as the double of the same value, so that nothing is rounded twice.

use freeboard::{Result, array::AnyArray, formats::FormatError};
use ndarray::ArrayViewD;
use serde_json::Value;
use std::io::{self, BufWriter, ErrorKind, Write};

/// Lets `write` write to stdout. A reader that has seen enough (`| head`) is no error.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(FormatError::io(error).at("stdout").into())
        }
        _ => Ok(()),
    }
}

/// Prints a text and a line end.
pub fn print_text(text: &str) -> Result<()> {
    print(|out| writeln!(out, "{}", text.trim_end()))
}

/// Prints a value over several lines.
pub fn print_json(value: &Value) -> Result<()> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// A shape as Python writes it.
pub fn tuple<T: ToString>(shape: &[T]) -> String {
    let lengths: Vec<String> = shape.iter().map(T::to_string).collect();
    match &lengths[..] {
        [one] => format!("({one},)"),
        many => format!("({})", many.join(", ")),
    }
}

/// A number as JSON has it.
pub fn float(value: f64) -> Value {
    if value.is_finite() {
        return Value::from(value);
    }
    Value::from(match value {
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        _ => "nan",
    })
}

/// An element as JSON.
pub trait ToJson {
    /// The value.
    fn to_json(&self) -> Value;
}

macro_rules! to_json {
    ($($t:ty: $value:ident => $json:expr;)*) => {$(
        impl ToJson for $t {
            fn to_json(&self) -> Value {
                let $value = *self;
                $json
            }
        }
    )*};
}

to_json! {
    bool: v => v.into();
    u8: v => v.into();
    u16: v => v.into();
    u32: v => v.into();
    u64: v => v.into();
    i8: v => v.into();
    i16: v => v.into();
    i32: v => v.into();
    i64: v => v.into();
    f32: v => float(f64::from(v));
    f64: v => float(v);
}

/// Does something with the `ndarray` in an `AnyArray`, whichever its dtype is.
macro_rules! with_array {
    ($any:expr, $array:ident => $body:expr) => {
        match $any {
            AnyArray::Bool($array) => $body,
            AnyArray::U8($array) => $body,
            AnyArray::U16($array) => $body,
            AnyArray::U32($array) => $body,
            AnyArray::U64($array) => $body,
            AnyArray::I8($array) => $body,
            AnyArray::I16($array) => $body,
            AnyArray::I32($array) => $body,
            AnyArray::I64($array) => $body,
            AnyArray::F32($array) => $body,
            AnyArray::F64($array) => $body,
        }
    };
}

/// Prints an array as [`write_nested`] writes it.
pub fn print_nested(array: &AnyArray) -> Result<()> {
    print(|out| {
        write_nested(out, array)?;
        writeln!(out)
    })
}

/// Writes an array as nested lists, without a copy of it; one without axes as a value.
pub fn write_nested(out: &mut dyn Write, array: &AnyArray) -> io::Result<()> {
    with_array!(array, array => nested(out, array.view()))
}

fn nested<T: ToJson>(out: &mut dyn Write, array: ArrayViewD<'_, T>) -> io::Result<()> {
    if array.ndim() == 0 {
        return array.iter().try_for_each(|value| write!(out, "{}", value.to_json()));
    }
    out.write_all(b"[")?;
    for (i, part) in array.outer_iter().enumerate() {
        if i > 0 {
            out.write_all(b", ")?;
        }
        nested(out, part)?;
    }
    out.write_all(b"]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn text<T: ToJson>(array: ArrayViewD<'_, T>) -> String {
        let mut out = Vec::new();
        nested(&mut out, array).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn arrays_as_nested_lists() {
        assert_eq!(text(array![[1u8, 2], [3, 4]].into_dyn().view()), "[[1, 2], [3, 4]]");
        assert_eq!(text(ndarray::arr0(true).into_dyn().view()), "true");
        assert_eq!(
            text(array![0.1f32, f32::NAN, f32::NEG_INFINITY].into_dyn().view()),
            "[0.10000000149011612, \"nan\", \"-inf\"]"
        );
        assert_eq!(text(ndarray::Array2::<i64>::zeros((2, 0)).into_dyn().view()), "[[], []]");
    }
}
