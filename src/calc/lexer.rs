//! From text to tokens, as Python's tokenizer reads an expression.

use super::fault::{Fault, Result, Span};

/// A piece of a formula.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i128),
    Float(f64),
    Text(String),
    Name(String),
    /// An operator, a bracket, or another mark.
    Mark(&'static str),
    End,
}

/// Longer marks before their beginnings.
const MARKS: [&str; 32] = [
    "...", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "@", "&", "|",
    "^", "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", ";",
];

/// All tokens of `text`, and [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Span)>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        // A comment, up to the end of the line.
        if c == '#' {
            at += text[at..].find('\n').unwrap_or(text.len() - at);
            continue;
        }
        let (token, len) = token(&text[at..], c)
            .map_err(|(fault, len)| fault.at(Span { start: at, end: at + len }))?;
        tokens.push((token, Span { start: at, end: at + len }));
        at += len;
    }
    let end = tokens.last().map_or(0, |(_, span): &(Token, Span)| span.end);
    tokens.push((Token::End, Span { start: end, end }));
    Ok(tokens)
}

/// The token at the beginning of `rest`, which is `c`, and its length; or what is wrong with so
/// many bytes.
fn token(rest: &str, c: char) -> Result<(Token, usize), (Box<Fault>, usize)> {
    let second = rest.as_bytes().get(1).copied().unwrap_or_default();
    if c.is_ascii_digit() || c == '.' && second.is_ascii_digit() {
        let len = number_len(rest);
        return number(&rest[..len]).map(|token| (token, len)).map_err(|fault| (fault, len));
    }
    if c.is_alphabetic() || c == '_' {
        let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        return Ok((Token::Name(rest[..len].to_owned()), len));
    }
    if c == '\'' || c == '"' {
        return string(rest, c);
    }
    match MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
        Some(mark) => Ok((Token::Mark(mark), mark.len())),
        None => Err((Fault::new(format!("{c:?} is not part of formulas")), c.len_utf8())),
    }
}

/// How many bytes of `rest` belong to the number that it begins with, or would if it were one.
fn number_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let past = |at: usize, belongs: fn(&u8) -> bool| {
        at + bytes.iter().skip(at).take_while(|byte| belongs(byte)).count()
    };
    let digits = |at| past(at, |byte| byte.is_ascii_digit() || *byte == b'_');
    let mut len = digits(0);
    if !is_prefixed(rest) {
        if bytes.get(len) == Some(&b'.') {
            len = digits(len + 1);
        }
        if matches!(bytes.get(len), Some(b'e' | b'E')) {
            let sign = matches!(bytes.get(len + 1), Some(b'+' | b'-'));
            let exponent = len + 1 + usize::from(sign);
            if bytes.get(exponent).is_some_and(u8::is_ascii_digit) {
                len = digits(exponent);
            }
        }
    }
    // Letters that follow at once make it no number.
    past(len, |byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether a number begins with its base: `0x`, `0o`, `0b`.
fn is_prefixed(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0', b'x' | b'X' | b'b' | b'B' | b'o' | b'O', ..])
}

fn number(text: &str) -> Result<Token> {
    let wrong = || Fault::new(format!("{text:?} is not a number"));
    let digits = text.replace('_', "");
    // Python takes one underscore, between digits.
    let between = |(at, _): (usize, &str)| {
        let is_digit = match is_prefixed(text) {
            true => u8::is_ascii_alphanumeric,
            false => u8::is_ascii_digit,
        };
        let digit = |byte: Option<&u8>| byte.is_some_and(is_digit);
        digit(at.checked_sub(1).and_then(|at| text.as_bytes().get(at)))
            && digit(text.as_bytes().get(at + 1))
    };
    if !text.match_indices('_').all(between) {
        return Err(wrong());
    }
    let radix = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        Some("0b") => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let parsed = i128::from_str_radix(&digits[2..], radix);
        return match digits[2..].starts_with(['+', '-']) {
            true => Err(wrong()),
            false => parsed.map(Token::Int).map_err(|_| wrong()),
        };
    }
    if digits.ends_with(['j', 'J']) {
        return Err(Fault::new("there are no complex numbers"));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|byte| byte != b'0') {
            return Err(wrong().help("a number does not begin with 0; octal ones with 0o"));
        }
        let parsed = digits.parse().map(Token::Int);
        return parsed.map_err(|_| Fault::new(format!("{text} is beyond all integer dtypes")));
    }
    match digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        true => digits.parse().map(Token::Float).map_err(|_| wrong()),
        false => Err(wrong()),
    }
}

fn string(rest: &str, quote: char) -> Result<(Token, usize), (Box<Fault>, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped @ ('\\' | '\'' | '"'))) => text.push(escaped),
                Some((end, _)) => {
                    let fault = Fault::new("only \\\\, \\' and \\\" are escaped in a string");
                    return Err((fault, end + 1));
                }
                None => break,
            },
            _ if c == quote => return Ok((Token::Text(text), at + 1)),
            _ => text.push(c),
        }
    }
    Err((Fault::new("the string does not end"), rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Token> {
        let mut tokens: Vec<Token> =
            tokens(text).unwrap().into_iter().map(|(token, _)| token).collect();
        assert_eq!(tokens.pop(), Some(Token::End));
        tokens
    }

    #[test]
    fn numbers_are_pythons() {
        for (text, value) in [
            ("0", 0),
            ("00", 0),
            ("1_000", 1000),
            ("0x_ff", 255),
            ("0b101", 5),
            ("0O17", 15),
            ("18446744073709551615", i128::from(u64::MAX)),
        ] {
            assert_eq!(of(text), [Token::Int(value)], "{text}");
        }
        for (text, value) in
            [("1.", 1.0), (".5", 0.5), ("1e3", 1e3), ("1.5E-3", 1.5e-3), ("1_0.2_5", 10.25)]
        {
            assert_eq!(of(text), [Token::Float(value)], "{text}");
        }
        for text in ["012", "1__0", "1_", "0x", "0x-1", "1e", "1.e", "3x", "2j", "1e_5"] {
            assert!(tokens(text).is_err(), "{text}");
        }
        assert!(tokens(&"9".repeat(50)).is_err());
    }

    #[test]
    fn marks_names_and_strings() {
        use Token::{Mark, Name, Text};
        assert_eq!(of("a**-b"), [Name("a".into()), Mark("**"), Mark("-"), Name("b".into())]);
        assert_eq!(of("x[...,1:]").len(), 7);
        assert_eq!(of(r#"'a"\'' "b""#), [Text("a\"'".into()), Text("b".into())]);
        assert_eq!(of("a # b\n+ c # d"), [Name("a".into()), Mark("+"), Name("c".into())]);
        assert_eq!(of("'#'"), [Text("#".into())]);
        assert_eq!(of("x.T"), [Name("x".into()), Mark("."), Name("T".into())]);
        for text in ["'open", "'a\\n'", "a ? b", "a $ b", "'\\"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
