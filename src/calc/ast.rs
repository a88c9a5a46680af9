//! What a formula is once it is read: a tree whose nodes know where they stand.

use super::fault::Span;
use std::fmt;

/// A part of a formula.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) span: Span,
    /// How many nodes lie below one another here, this one included.
    pub(super) depth: usize,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Int(i128),
    Float(f64),
    Text(String),
    True,
    False,
    None,
    Ellipsis,
    Name(String),
    Unary(UnaryOp, Box<Node>),
    Binary(BinaryOp, Box<Node>, Box<Node>),
    /// `a < b`, or a chain `a < b < c`.
    Compare(Box<Node>, Vec<(CompareOp, Node)>),
    /// `and` (true) or `or`, of two or more.
    Junction(bool, Vec<Node>),
    Attribute(Box<Node>, String),
    /// A subscript; of several parts, their tuple.
    Index(Box<Node>, Box<Node>),
    Call(Box<Node>, Vec<Argument>),
    Tuple(Vec<Node>),
    List(Vec<Node>),
    /// `start:stop:step`, in a subscript.
    Slice([Option<Box<Node>>; 3]),
}

/// What is handed to a function, by name or by its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Argument {
    pub(super) name: Option<String>,
    pub(super) value: Node,
}

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name {
            $($variant,)*
        }

        impl $name {
            /// As it is written.
            pub(super) const fn text(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }
    )*};
}

operators! {
    /// What stands before one operand.
    UnaryOp {
        Plus "+",
        Minus "-",
        Invert "~",
        Not "not ",
    }
    /// What stands between two operands.
    BinaryOp {
        Add "+",
        Subtract "-",
        Multiply "*",
        Divide "/",
        FloorDivide "//",
        Remainder "%",
        MatMul "@",
        Power "**",
        ShiftLeft "<<",
        ShiftRight ">>",
        And "&",
        Xor "^",
        Or "|",
    }
    /// What compares two operands.
    CompareOp {
        Less "<",
        LessEqual "<=",
        Greater ">",
        GreaterEqual ">=",
        Equal "==",
        NotEqual "!=",
    }
}

impl Kind {
    fn children(&self) -> Vec<&Node> {
        match self {
            Kind::Unary(_, a) | Kind::Attribute(a, _) => vec![a],
            Kind::Binary(_, a, b) | Kind::Index(a, b) => vec![a, b],
            Kind::Compare(first, rest) => {
                std::iter::once(&**first).chain(rest.iter().map(|(_, node)| node)).collect()
            }
            Kind::Junction(_, nodes) | Kind::Tuple(nodes) | Kind::List(nodes) => {
                nodes.iter().collect()
            }
            Kind::Call(function, arguments) => std::iter::once(&**function)
                .chain(arguments.iter().map(|argument| &argument.value))
                .collect(),
            Kind::Slice(parts) => parts.iter().flatten().map(|part| &**part).collect(),
            _ => Vec::new(),
        }
    }
}

impl Node {
    pub(super) fn new(kind: Kind, span: Span) -> Node {
        let depth = 1 + kind.children().iter().map(|node| node.depth).max().unwrap_or(0);
        Node { kind, span, depth }
    }

    /// Whether `name` is named in the tree, other than as an attribute or a parameter.
    pub(super) fn names(&self, name: &str) -> bool {
        match &self.kind {
            Kind::Name(other) => other == name,
            kind => kind.children().iter().any(|node| node.names(name)),
        }
    }
}

impl fmt::Display for Node {
    /// With brackets around every operation, so that it can be seen how it was read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, nodes: &[Node]| {
            nodes
                .iter()
                .enumerate()
                .try_for_each(|(i, node)| write!(f, "{}{node}", if i > 0 { ", " } else { "" }))
        };
        match &self.kind {
            Kind::Int(value) => write!(f, "{value}"),
            Kind::Float(value) => write!(f, "{value:?}"),
            Kind::Text(text) => write!(f, "'{text}'"),
            Kind::True => f.write_str("True"),
            Kind::False => f.write_str("False"),
            Kind::None => f.write_str("None"),
            Kind::Ellipsis => f.write_str("..."),
            Kind::Name(name) => f.write_str(name),
            Kind::Unary(op, a) => write!(f, "({}{a})", op.text()),
            Kind::Binary(op, a, b) => write!(f, "({a} {} {b})", op.text()),
            Kind::Compare(first, rest) => {
                write!(f, "({first}")?;
                rest.iter().try_for_each(|(op, node)| write!(f, " {} {node}", op.text()))?;
                f.write_str(")")
            }
            Kind::Junction(and, nodes) => {
                f.write_str("(")?;
                for (i, node) in nodes.iter().enumerate() {
                    let word = if *and { " and " } else { " or " };
                    write!(f, "{}{node}", if i > 0 { word } else { "" })?;
                }
                f.write_str(")")
            }
            Kind::Attribute(a, name) => write!(f, "{a}.{name}"),
            Kind::Index(a, index) => write!(f, "{a}[{index}]"),
            Kind::Call(function, arguments) => {
                write!(f, "{function}(")?;
                for (i, Argument { name, value }) in arguments.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    if let Some(name) = name {
                        write!(f, "{name}=")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str(")")
            }
            Kind::Tuple(nodes) => {
                f.write_str("(")?;
                list(f, nodes)?;
                f.write_str(if nodes.len() == 1 { ",)" } else { ")" })
            }
            Kind::List(nodes) => {
                f.write_str("[")?;
                list(f, nodes)?;
                f.write_str("]")
            }
            Kind::Slice([start, stop, step]) => {
                let part = |part: &Option<Box<Node>>| {
                    part.as_ref().map_or(String::new(), |node| node.to_string())
                };
                write!(f, "{}:{}", part(start), part(stop))?;
                step.as_ref().map_or(Ok(()), |step| write!(f, ":{step}"))
            }
        }
    }
}
