//! From tokens to a tree: Python's grammar of expressions, with its precedence.
//!
//! By recursive descent, and by climbing where operators bind from the left (Pratt, "Top down
//! operator precedence", POPL 1973). What Python has beside and formulas have not (`lambda`,
//! comprehensions, conditions, dictionaries) is refused by name.

use super::{
    ast::{Argument, BinaryOp, CompareOp, Kind, Node, UnaryOp},
    fault::{Fault, Result, Span},
    lexer::{Token, tokens},
};

/// How deep a formula may be nested: reading and evaluating it take stack for each level.
pub(super) const DEPTH: usize = 400;

/// The operators that bind from the left, and how tightly; comparisons bind less, `**` more.
const BINARY: [(&str, BinaryOp, u8); 12] = [
    ("|", BinaryOp::Or, 1),
    ("^", BinaryOp::Xor, 2),
    ("&", BinaryOp::And, 3),
    ("<<", BinaryOp::ShiftLeft, 4),
    (">>", BinaryOp::ShiftRight, 4),
    ("+", BinaryOp::Add, 5),
    ("-", BinaryOp::Subtract, 5),
    ("*", BinaryOp::Multiply, 6),
    ("/", BinaryOp::Divide, 6),
    ("//", BinaryOp::FloorDivide, 6),
    ("%", BinaryOp::Remainder, 6),
    ("@", BinaryOp::MatMul, 6),
];

const COMPARISONS: [CompareOp; 6] = [
    CompareOp::Less,
    CompareOp::LessEqual,
    CompareOp::Greater,
    CompareOp::GreaterEqual,
    CompareOp::Equal,
    CompareOp::NotEqual,
];

/// Python's words that cannot be names.
const KEYWORDS: [&str; 32] = [
    "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "pass", "raise", "return", "try", "while", "with", "yield", "and", "or", "not",
];

/// Reads `text`.
pub(super) fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    if parser.token() == &Token::End {
        return Err(Fault::new("the formula is empty"));
    }
    let node = parser.list_of_expressions()?;
    match parser.token() {
        Token::End => Ok(node),
        _ => Err(parser.unexpected("an operator, or the end")),
    }
}

/// Whether `name` can name an input.
pub(super) fn is_name(name: &str) -> bool {
    let is_word = |tokens: Vec<(Token, Span)>| matches!(&tokens[..], [(Token::Name(word), _), (Token::End, _)] if word == name);
    let constant = matches!(name, "True" | "False" | "None");
    tokens(name).is_ok_and(is_word) && !KEYWORDS.contains(&name) && !constant
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn token(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    /// Goes on; the last token stays.
    fn advance(&mut self) -> Span {
        let span = self.span();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        span
    }

    /// Goes on if the next token is `mark`.
    fn take(&mut self, mark: &str) -> Option<Span> {
        matches!(self.token(), Token::Mark(found) if *found == mark).then(|| self.advance())
    }

    fn take_word(&mut self, word: &str) -> Option<Span> {
        matches!(self.token(), Token::Name(found) if found == word).then(|| self.advance())
    }

    fn is_mark(&self, mark: &str) -> bool {
        matches!(self.token(), Token::Mark(found) if *found == mark)
    }

    /// The mark that closes the bracket at `open`.
    fn close(&mut self, mark: &str, open: Span) -> Result<Span> {
        match (self.take(mark), self.token()) {
            (Some(span), _) => Ok(span),
            (None, Token::End) => Err(Fault::new("the bracket is never closed").at(open)),
            (None, _) => Err(self.unexpected(&format!("`{mark}`, or an operator"))),
        }
    }

    /// The next token is not `wanted`.
    fn unexpected(&self, wanted: &str) -> Box<Fault> {
        let fault = match self.token() {
            Token::End => Fault::new(format!("the formula ends where {wanted} is expected")),
            Token::Mark(mark @ ("{" | "}" | ";")) => {
                Fault::new(format!("`{mark}` is not part of formulas"))
            }
            Token::Mark("=") => Fault::new("`=` assigns, and formulas do not")
                .help("`==` compares; inputs are named behind the formula: 'x + 1' x=cube.zarr"),
            Token::Mark(mark) => Fault::new(format!("`{mark}` where {wanted} is expected")),
            Token::Name(word) if KEYWORDS.contains(&word.as_str()) => {
                let fault = Fault::new(format!("`{word}` is not part of formulas"));
                match word.as_str() {
                    "if" | "else" => fault.help("where(condition, x, y) chooses between elements"),
                    _ => fault,
                }
            }
            Token::Name(name) => Fault::new(format!("`{name}` where {wanted} is expected")),
            Token::Int(value) => Fault::new(format!("{value} where {wanted} is expected")),
            Token::Float(value) => Fault::new(format!("{value:?} where {wanted} is expected")),
            Token::Text(_) => Fault::new(format!("a string where {wanted} is expected")),
        };
        fault.at(self.span())
    }

    /// What `read` reads, one level further down.
    fn deeper(&mut self, read: impl FnOnce(&mut Parser) -> Result<Node>) -> Result<Node> {
        if self.depth >= DEPTH {
            return Err(too_deep(self.span()));
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    /// Expressions between commas: one, or their tuple.
    fn list_of_expressions(&mut self) -> Result<Node> {
        let first = self.expression()?;
        if !self.is_mark(",") {
            return Ok(first);
        }
        let mut nodes = vec![first];
        let mut end = nodes[0].span;
        while let Some(comma) = self.take(",") {
            end = comma;
            if self.ends() {
                break;
            }
            nodes.push(self.expression()?);
            end = nodes[nodes.len() - 1].span;
        }
        let span = nodes[0].span.to(end);
        node(Kind::Tuple(nodes), span)
    }

    /// Whether a list between brackets ends here.
    fn ends(&self) -> bool {
        matches!(self.token(), Token::End | Token::Mark(")" | "]"))
    }

    fn expression(&mut self) -> Result<Node> {
        self.deeper(|parser| parser.junction(false))
    }

    /// Operands of `or`; each one of `and`.
    fn junction(&mut self, and: bool) -> Result<Node> {
        let operand = |parser: &mut Parser| match and {
            false => parser.junction(true),
            true => parser.negation(),
        };
        let first = operand(self)?;
        let mut nodes = vec![first];
        while self.take_word(if and { "and" } else { "or" }).is_some() {
            nodes.push(operand(self)?);
        }
        match nodes.len() {
            1 => Ok(nodes.remove(0)),
            last => {
                let span = nodes[0].span.to(nodes[last - 1].span);
                node(Kind::Junction(and, nodes), span)
            }
        }
    }

    fn negation(&mut self) -> Result<Node> {
        match self.take_word("not") {
            None => self.comparison(),
            Some(start) => {
                let operand = self.deeper(Parser::negation)?;
                let span = start.to(operand.span);
                node(Kind::Unary(UnaryOp::Not, Box::new(operand)), span)
            }
        }
    }

    fn comparison(&mut self) -> Result<Node> {
        let first = self.binary(0)?;
        let mut rest = Vec::new();
        let mut span = first.span;
        while let Some(op) = COMPARISONS.into_iter().find(|op| self.is_mark(op.text())) {
            self.advance();
            let operand = self.binary(0)?;
            span = span.to(operand.span);
            rest.push((op, operand));
        }
        match rest.is_empty() {
            true => Ok(first),
            false => node(Kind::Compare(Box::new(first), rest), span),
        }
    }

    /// Operators that bind more tightly than `least`.
    fn binary(&mut self, least: u8) -> Result<Node> {
        let mut left = self.unary()?;
        loop {
            let next = BINARY.into_iter().find(|(mark, _, _)| self.is_mark(mark));
            let Some((_, op, _)) = next.filter(|(_, _, level)| *level > least) else {
                return Ok(left);
            };
            let level = next.map_or(0, |(_, _, level)| level);
            self.advance();
            let right = self.binary(level)?;
            let span = left.span.to(right.span);
            left = node(Kind::Binary(op, Box::new(left), Box::new(right)), span)?;
        }
    }

    fn unary(&mut self) -> Result<Node> {
        let op = match self.token() {
            Token::Mark("+") => UnaryOp::Plus,
            Token::Mark("-") => UnaryOp::Minus,
            Token::Mark("~") => UnaryOp::Invert,
            _ => return self.power(),
        };
        let start = self.advance();
        let operand = self.deeper(Parser::unary)?;
        let span = start.to(operand.span);
        node(Kind::Unary(op, Box::new(operand)), span)
    }

    /// `**` binds its left operand more tightly than a sign does, its right one less.
    fn power(&mut self) -> Result<Node> {
        let base = self.primary()?;
        if self.take("**").is_none() {
            return Ok(base);
        }
        let exponent = self.deeper(Parser::unary)?;
        let span = base.span.to(exponent.span);
        node(Kind::Binary(BinaryOp::Power, Box::new(base), Box::new(exponent)), span)
    }

    /// An atom, and the attributes, subscripts and calls behind it.
    fn primary(&mut self) -> Result<Node> {
        let mut left = self.atom()?;
        loop {
            let span = self.span();
            left = if self.take(".").is_some() {
                let Token::Name(name) = self.token().clone() else {
                    return Err(self.unexpected("the name of an attribute"));
                };
                let span = left.span.to(self.advance());
                node(Kind::Attribute(Box::new(left), name), span)?
            } else if self.take("[").is_some() {
                let index = self.subscript()?;
                let span = left.span.to(self.close("]", span)?);
                node(Kind::Index(Box::new(left), Box::new(index)), span)?
            } else if self.take("(").is_some() {
                let arguments = self.arguments()?;
                let span = left.span.to(self.close(")", span)?);
                node(Kind::Call(Box::new(left), arguments), span)?
            } else {
                return Ok(left);
            };
        }
    }

    fn atom(&mut self) -> Result<Node> {
        let (token, span) = self.tokens[self.at].clone();
        let kind = match token {
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Text(mut text) => {
                let mut span = self.advance();
                // As in Python, strings side by side are one.
                while let Token::Text(more) = self.token() {
                    text.push_str(more);
                    span = span.to(self.advance());
                }
                return node(Kind::Text(text), span);
            }
            Token::Name(name) => match name.as_str() {
                "True" => Kind::True,
                "False" => Kind::False,
                "None" => Kind::None,
                word if KEYWORDS.contains(&word) => return Err(self.unexpected("a value")),
                _ => Kind::Name(name),
            },
            Token::Mark("...") => Kind::Ellipsis,
            Token::Mark("(") => return self.parentheses(),
            Token::Mark("[") => {
                self.advance();
                let nodes = match self.is_mark("]") {
                    true => Vec::new(),
                    false => match self.list_of_expressions()? {
                        // `[(1, 2)]` has brackets of its own, and so another place.
                        Node { kind: Kind::Tuple(nodes), span: inner, .. }
                            if nodes.first().is_some_and(|node| node.span.start == inner.start) =>
                        {
                            nodes
                        }
                        one => vec![one],
                    },
                };
                let span = span.to(self.close("]", span)?);
                return node(Kind::List(nodes), span);
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.advance();
        node(kind, span)
    }

    /// `()`, `(a)`, or a tuple. What stands between brackets keeps them in its place.
    fn parentheses(&mut self) -> Result<Node> {
        let open = self.advance();
        if let Some(end) = self.take(")") {
            return node(Kind::Tuple(Vec::new()), open.to(end));
        }
        let mut inner = self.list_of_expressions()?;
        inner.span = open.to(self.close(")", open)?);
        Ok(inner)
    }

    /// What stands in `[…]` behind a value.
    fn subscript(&mut self) -> Result<Node> {
        let mut parts = vec![self.subscript_part()?];
        let mut tuple = false;
        while self.take(",").is_some() {
            tuple = true;
            if self.ends() {
                break;
            }
            parts.push(self.subscript_part()?);
        }
        if !tuple {
            return Ok(parts.remove(0));
        }
        let span = parts[0].span.to(parts[parts.len() - 1].span);
        node(Kind::Tuple(parts), span)
    }

    fn subscript_part(&mut self) -> Result<Node> {
        let start = self.span();
        let bound = |parser: &mut Parser| match parser.token() {
            Token::Mark(":" | "," | "]") => Ok(None),
            _ => parser.expression().map(|node| Some(Box::new(node))),
        };
        let first = match self.token() {
            Token::Mark(":") => None,
            _ => Some(self.expression()?),
        };
        let Some(mut end) = self.take(":") else {
            return first.ok_or_else(|| self.unexpected("an index"));
        };
        let stop = bound(self)?;
        let mut step = None;
        if let Some(colon) = self.take(":") {
            end = colon;
            step = bound(self)?;
        }
        end = step
            .as_ref()
            .or(stop.as_ref())
            .map_or(end, |node| Span { start: node.span.start, end: node.span.end.max(end.end) });
        node(Kind::Slice([first.map(Box::new), stop, step]), start.to(end))
    }

    fn arguments(&mut self) -> Result<Vec<Argument>> {
        let mut arguments: Vec<Argument> = Vec::new();
        while !self.ends() {
            let argument = self.argument()?;
            match (&argument.name, arguments.last()) {
                (None, Some(Argument { name: Some(_), .. })) => {
                    let fault = Fault::new("positional argument follows keyword argument");
                    return Err(fault.at(argument.value.span));
                }
                (Some(name), _)
                    if arguments.iter().any(|other| other.name.as_ref() == Some(name)) =>
                {
                    let fault = Fault::new(format!("keyword argument repeated: {name}"));
                    return Err(fault.at(argument.value.span));
                }
                _ => arguments.push(argument),
            }
            if self.take(",").is_none() {
                break;
            }
        }
        Ok(arguments)
    }

    fn argument(&mut self) -> Result<Argument> {
        let named = match (self.token(), self.tokens.get(self.at + 1)) {
            (Token::Name(name), Some((Token::Mark("="), _))) if is_name(name) => Some(name.clone()),
            _ => None,
        };
        if named.is_some() {
            self.advance();
            self.advance();
        }
        Ok(Argument { name: named, value: self.expression()? })
    }
}

fn too_deep(span: Span) -> Box<Fault> {
    Fault::new(format!("the formula is nested more than {DEPTH} levels deep")).at(span)
}

/// A node that is not too deep.
fn node(kind: Kind, span: Span) -> Result<Node> {
    let node = Node::new(kind, span);
    if node.depth > DEPTH { Err(too_deep(span)) } else { Ok(node) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_read_as_python_reads_them() {
        // Recorded from Python's own parser by `data/calc/make.py`.
        let table: Vec<[String; 2]> = include_str!("../../data/calc/grammar.tsv")
            .lines()
            .map(|line| {
                let (formula, tree) = line.split_once('\t').unwrap();
                [formula.to_owned(), tree.to_owned()]
            })
            .collect();
        assert!(table.len() > 1000);
        for [formula, tree] in table {
            match (parse(&formula), tree.as_str()) {
                (Ok(node), _) => assert_eq!(node.to_string(), tree, "{formula}"),
                (Err(_), "SyntaxError") => {}
                (Err(fault), _) => panic!("{formula}: {fault}"),
            }
        }
    }

    #[track_caller]
    fn says(text: &str, expected: &str) {
        let error = parse(text).unwrap_err().into_error(text).to_string();
        assert_eq!(error, expected, "{text}");
    }

    #[test]
    fn what_cannot_be_read() {
        says("", "the formula is empty");
        says("a +", "the formula ends where a value is expected\n  a +\n     ^");
        says("a b", "`b` where an operator, or the end is expected\n  a b\n    ^");
        says("(a + b", "the bracket is never closed\n  (a + b\n  ^");
        says("(a]", "`]` where `)`, or an operator is expected\n  (a]\n    ^");
        says("f(a=1, 2)", "positional argument follows keyword argument\n  f(a=1, 2)\n         ^");
        says("f(a=1, a=2)", "keyword argument repeated: a\n  f(a=1, a=2)\n           ^");
        says("x[]", "`]` where a value is expected\n  x[]\n    ^");
        says("lambda: x", "`lambda` is not part of formulas\n  lambda: x\n  ^^^^^^");
        says(
            "x if y else z",
            "`if` is not part of formulas\n  x if y else z\n    ^^\n  \
             where(condition, x, y) chooses between elements",
        );
        says("a ? b", "'?' is not part of formulas\n  a ? b\n    ^");
        says("2j * x", "there are no complex numbers\n  2j * x\n  ^^");
        says(
            "y = x + 1",
            "`=` assigns, and formulas do not\n  y = x + 1\n    ^\n  \
             `==` compares; inputs are named behind the formula: 'x + 1' x=cube.zarr",
        );
    }

    #[test]
    fn deep_formulas_are_refused() {
        for text in [
            "(".repeat(100_000),
            "-".repeat(100_000) + "x",
            "not ".repeat(100_000) + "x",
            "2**".repeat(100_000) + "2",
            "x+".repeat(100_000) + "x",
            "x".to_owned() + &".T".repeat(100_000),
            "[".repeat(100_000),
            "x[".repeat(100_000),
        ] {
            let fault = parse(&text).unwrap_err();
            assert!(fault.to_string().contains("nested more than"), "{fault}");
        }
        assert!(parse(&("x+".repeat(DEPTH - 1) + "x")).is_ok());
        assert!(parse(&("(".repeat(DEPTH - 1) + "x" + &")".repeat(DEPTH - 1))).is_ok());
    }

    #[test]
    fn names_of_inputs() {
        for name in ["x", "raw_2", "_", "Ä"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2x", "a b", "a.b", "if", "None", "x ", "a-b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
