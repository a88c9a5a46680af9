//! From the tree to lazy arrays: names are looked up, operators and functions applied.
//!
//! Nothing is computed here but what the shapes of arrays depend on ([`Settling`]). Each part becomes a value; of arrays that is an expression, and
//! a mistake in it is told with the part of the formula that made it.

use super::{
    ast::{Argument, BinaryOp, CompareOp, Kind, Node, UnaryOp},
    fault::{Fault, Result, Span, nearest},
    functions::{self, Arguments, Entry, NUMPY},
    index::{index_of, slice_bound},
    scalar,
    settling::Settling,
    signature::Given,
    value::{Value, dtype_named},
};
use crate::{
    array::{Array, Random, random},
    kernel::Binary,
};
use freeboard_formats::DType;
use std::{
    collections::BTreeMap,
    f64::consts,
    sync::{Arc, Mutex},
};

/// The seed of `random.normal(…)` and its like, which name none.
const SEED: u64 = 0;

/// What evaluates formulas over these inputs.
pub(super) struct Evaluator<'a> {
    inputs: &'a BTreeMap<String, Array>,
    settling: Settling<'a>,
    random: Arc<Mutex<Random>>,
}

/// The value of a formula without inputs, calls and arrays.
pub(super) fn constant(node: &Node) -> Result<Value> {
    Evaluator::new(&BTreeMap::new(), Settling::never()).value(node)
}

/// The modules whose functions can be called by their path, and the name they have in the table.
fn module(name: &str) -> Option<&'static str> {
    Some(match name {
        "np" | "numpy" => NUMPY,
        "scipy" => "scipy",
        "ndi" | "ndimage" => "ndimage",
        "linalg" => "linalg",
        "random" => "random",
        _ => return None,
    })
}

/// Modules of NumPy and SciPy that formulas have not.
const MISSING: [&str; 8] =
    ["fft", "interpolate", "ma", "optimize", "polynomial", "signal", "special", "stats"];

/// What a name means that is no input: a constant, or a dtype.
fn constant_named(name: &str) -> Option<Value> {
    let name = name.strip_prefix("numpy.").unwrap_or(name);
    Some(match name {
        "pi" => Value::Float(consts::PI),
        "e" => Value::Float(consts::E),
        "inf" => Value::Float(f64::INFINITY),
        "nan" => Value::Float(f64::NAN),
        "newaxis" => Value::None,
        "bool" | "bool_" | "int" | "int_" | "intp" | "uint" | "float" | "single" | "double" => {
            Value::DType(dtype_named(name)?)
        }
        name => Value::DType(DType::from_name(name)?),
    })
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        inputs: &'a BTreeMap<String, Array>,
        settling: Settling<'a>,
    ) -> Evaluator<'a> {
        Evaluator { inputs, settling, random: Arc::new(Mutex::new(random(SEED))) }
    }

    /// What `node` stands for; a mistake is told with its place.
    pub(super) fn value(&self, node: &Node) -> Result<Value> {
        let value = self.unchecked(node).map_err(|fault| fault.at(node.span))?;
        check(&value).map_err(|fault| fault.at(node.span))?;
        Ok(value)
    }

    /// What takes room on the stack is in functions of its own, as this one calls itself at every level of a formula.
    fn unchecked(&self, node: &Node) -> Result<Value> {
        Ok(match &node.kind {
            Kind::Int(value) => Value::Int(*value),
            Kind::Float(value) => Value::Float(*value),
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::None => Value::None,
            Kind::Ellipsis => Value::Ellipsis,
            Kind::Name(name) => self.name(name)?,
            Kind::Unary(op, operand) => unary(*op, &self.value(operand)?)?,
            Kind::Binary(op, a, b) => binary(*op, &self.value(a)?, &self.value(b)?)?,
            Kind::Compare(first, rest) => self.compare(first, rest)?,
            Kind::Junction(and, nodes) => self.junction(*and, nodes)?,
            Kind::Attribute(of, name) => self.attribute(node, of, name)?,
            Kind::Index(of, index) => {
                index_of(&self.value(of)?, &self.value(index)?, self.settling)?
            }
            Kind::Call(function, arguments) => self.call(function, arguments)?,
            Kind::Tuple(nodes) => Value::Tuple(self.values(nodes)?),
            Kind::List(nodes) => Value::List(self.values(nodes)?),
            Kind::Slice(parts) => self.slice(parts)?,
        })
    }

    /// The bounds of a slice, of which computed ones are looked at.
    #[inline(never)]
    fn slice(&self, parts: &[Option<Box<Node>>; 3]) -> Result<Value> {
        let mut bounds = [None; 3];
        for (bound, part) in bounds.iter_mut().zip(parts) {
            if let Some(part) = part {
                let value = self.settling.numbers(&self.value(part)?);
                let found = value.and_then(|value| slice_bound(&value));
                *bound = found.map_err(|fault| fault.at(part.span))?;
            }
        }
        Ok(Value::Slice(bounds))
    }

    fn values(&self, nodes: &[Node]) -> Result<Vec<Value>> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn name(&self, name: &str) -> Result<Value> {
        if let Some(input) = self.inputs.get(name) {
            return Ok(Value::Array(input.clone()));
        }
        if let Some(value) = constant_named(name) {
            return Ok(value);
        }
        if functions::find(name).is_some() {
            return Err(Fault::new(format!("`{name}` is a function: it is called, {name}(…)")));
        }
        if module(name).is_some() {
            return Err(Fault::new(format!("`{name}` is a module, and no value")));
        }
        Err(self.undefined(name))
    }

    fn undefined(&self, name: &str) -> Box<Fault> {
        if MISSING.contains(&name) {
            return Fault::new(format!("there is no module '{name}'"))
                .help("`freeboard calc --functions` lists all functions");
        }
        let mut known: Vec<&str> = functions::names().collect();
        known.extend(self.inputs.keys().map(String::as_str));
        let given = format!("an input is given behind the formula: {name}=PATH");
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean '{near}'? {given}"),
            None => given,
        };
        Fault::new(format!("name '{name}' is not defined")).help(help)
    }

    /// The path of names that `node` is, if its first one is a module's: `linalg.norm` of
    /// `linalg.norm`, `numpy.linalg.norm` of `np.linalg.norm`.
    fn path(&self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Name(name) if !self.inputs.contains_key(name) => module(name).map(str::to_owned),
            Kind::Attribute(of, name) => Some(match self.path(of)?.as_str() {
                // SciPy's modules have names of their own.
                "scipy" if module(name).is_some() => name.clone(),
                path => format!("{path}.{name}"),
            }),
            _ => None,
        }
    }

    #[inline(never)]
    fn attribute(&self, node: &Node, of: &Node, name: &str) -> Result<Value> {
        if let Some(path) = self.path(node) {
            return constant_named(&path).ok_or_else(|| match functions::find(&path) {
                Some(_) => Fault::new(format!("`{path}` is a function: it is called, {path}(…)")),
                None => no_function(&path),
            });
        }
        let value = self.value(of)?;
        if let Value::Array(array) = &value
            && let Some(value) = array_attribute(array, name)?
        {
            return Ok(value);
        }
        match (&value, name) {
            (Value::DType(dtype), "name") => Ok(Value::Text(dtype.name().to_owned())),
            (Value::DType(dtype), "itemsize") => Ok(Value::Int(dtype.size() as i128)),
            _ if functions::find_method(&value, name).is_some() => {
                Err(Fault::new(format!("`{name}` is a method: it is called, .{name}(…)")))
            }
            _ => Err(no_attribute(&value, name)),
        }
    }

    #[inline(never)]
    fn call(&self, function: &Node, arguments: &[Argument]) -> Result<Value> {
        let given = |first: Option<(Value, Span)>| {
            let first = first.map(|(value, span)| Ok(Given { name: None, value, span }));
            let rest = arguments.iter().map(|Argument { name, value: node }| {
                let (value, span) = (self.value(node)?, node.span);
                Ok(Given { name: name.as_deref(), value, span })
            });
            first.into_iter().chain(rest).collect::<Result<Vec<_>>>()
        };
        let path = match &function.kind {
            Kind::Name(name) if !self.inputs.contains_key(name) => Some(name.clone()),
            _ => self.path(function),
        };
        if let Some(path) = path {
            // A dtype converts: float32(x).
            let entry = match constant_named(&path) {
                Some(Value::DType(dtype)) => {
                    let mut given = given(None)?;
                    return match (given.pop(), given.is_empty()) {
                        (Some(Given { name: None, value, .. }), true) => {
                            // Python's own functions give Python's numbers.
                            match scalar::converted(&path, &value) {
                                Some(number) => number,
                                None => Ok(value.to_array_of(dtype)?.into()),
                            }
                        }
                        _ => Err(Fault::new(format!("{path}() takes 1 positional argument"))),
                    };
                }
                Some(_) => None,
                None => functions::find(&path),
            };
            return match entry {
                Some(entry) => self.apply(entry, given(None)?),
                None if constant_named(&path).is_some() || module(&path).is_some() => {
                    Err(Fault::new(format!("`{path}` is no function")).at(function.span))
                }
                None => Err(no_function(&path).at(function.span)),
            };
        }
        let Kind::Attribute(of, name) = &function.kind else {
            let value = self.value(function)?;
            let fault = Fault::new(format!("{} cannot be called", value.with_article()));
            return Err(fault.at(function.span));
        };
        let value = self.value(of)?;
        match functions::find_method(&value, name) {
            Some(entry) => self.apply(entry, given(Some((value, of.span)))?),
            None => Err(no_attribute(&value, name).at(function.span)),
        }
    }

    fn apply(&self, entry: &Entry, given: Vec<Given<'_>>) -> Result<Value> {
        let values = entry.signature.bind(given)?;
        (entry.function.call)(&Arguments::new(entry, values, &self.random, self.settling))
    }

    #[inline(never)]
    fn compare(&self, first: &Node, rest: &[(CompareOp, Node)]) -> Result<Value> {
        let mut left = self.value(first)?;
        if let [(op, right)] = rest {
            return compared(*op, &left, &self.value(right)?);
        }
        for (op, right) in rest {
            let right = self.value(right)?;
            // A chain is true if all its links are; the truth of an array is not known.
            let holds = compared(*op, &left, &right)?;
            if !scalar::truth(&holds).map_err(|_| {
                Fault::new("the truth value of an array is ambiguous in a chain of comparisons")
                    .help("compare each pair, and combine them: (0 < x) & (x < 5)")
            })? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    #[inline(never)]
    fn junction(&self, and: bool, nodes: &[Node]) -> Result<Value> {
        let mut last = Value::None;
        for node in nodes {
            last = self.value(node)?;
            // As in Python, it is the operand that decides.
            if scalar::truth(&last).map_err(|fault| fault.at(node.span))? != and {
                break;
            }
        }
        Ok(last)
    }
}

/// What is wrong with a value that is an array, or holds one: a mistake in it.
fn check(value: &Value) -> Result<()> {
    match value {
        Value::Array(array) => Ok(array.meta().map(|_| ())?),
        Value::Tuple(values) | Value::List(values) => values.iter().try_for_each(check),
        _ => Ok(()),
    }
}

fn no_function(path: &str) -> Box<Fault> {
    // NumPy's are those that bear no module's name.
    let path = path.strip_prefix("numpy.").unwrap_or(path);
    let (module, name) = path.rsplit_once('.').map_or((None, path), |(m, name)| (Some(m), name));
    let fault = Fault::new(format!("there is no function '{path}'"));
    if let Some(module) = module.filter(|module| MISSING.contains(module)) {
        return Fault::new(format!("there is no module '{module}'"))
            .help("`freeboard calc --functions` lists all functions");
    }
    let beside = functions::names().filter_map(|other| match (module, other.rsplit_once('.')) {
        (None, None) => Some(other),
        (Some(module), Some((of, other))) if of == module => Some(other),
        _ => None,
    });
    match (nearest(name, beside), module, functions::find(path)) {
        // Of another module, as SciPy's ndimage of `np.label`.
        (_, _, Some(entry)) => fault.help(format!("did you mean '{}'?", entry.signature.names[0])),
        (Some(near), Some(module), None) => fault.help(format!("did you mean '{module}.{near}'?")),
        (Some(near), None, None) => fault.help(format!("did you mean '{near}'?")),
        (None, _, None) => fault.help("`freeboard calc --functions` lists all"),
    }
}

const ATTRIBUTES: [&str; 9] =
    ["T", "mT", "shape", "dtype", "ndim", "size", "itemsize", "nbytes", "real"];

fn no_attribute(value: &Value, name: &str) -> Box<Fault> {
    let fault = Fault::new(format!("{} has no attribute '{name}'", value.with_article()));
    if !matches!(value, Value::Array(_)) {
        return fault;
    }
    if functions::find(name).is_some() {
        return fault.help(format!("it is a function: {name}(x)"));
    }
    match nearest(name, functions::methods().chain(ATTRIBUTES)) {
        Some(near) => fault.help(format!("did you mean '.{near}'?")),
        None => fault,
    }
}

fn array_attribute(array: &Array, name: &str) -> Result<Option<Value>> {
    let number = |n: usize| Value::Int(n as i128);
    Ok(Some(match name {
        "T" => array.t().into(),
        // There are no complex numbers.
        "real" => array.clone().into(),
        "mT" => array.swapaxes(-2, -1).into(),
        "shape" => Value::Tuple(array.shape()?.into_iter().map(number).collect()),
        "dtype" => Value::DType(array.dtype()?),
        "ndim" => number(array.rank()?),
        "size" => array.meta()?.grid.shape().iter().product::<u64>().into(),
        "itemsize" => number(array.dtype()?.size()),
        "nbytes" => array.nbytes()?.into(),
        _ => return Ok(None),
    }))
}

fn unary(op: UnaryOp, value: &Value) -> Result<Value> {
    if op == UnaryOp::Not {
        return scalar::truth(value).map(|truth| Value::Bool(!truth));
    }
    if let Some(value) = scalar::unary(op, value) {
        return value;
    }
    if is_sequence(value) {
        return Err(Fault::new(format!(
            "`{}` of {} is not defined",
            op.text(),
            value.with_article()
        )));
    }
    let array = operand(op.text(), value)?;
    Ok(match op {
        UnaryOp::Minus => (-array).into(),
        UnaryOp::Invert => (!array).into(),
        UnaryOp::Plus | UnaryOp::Not => functions::positive(array)?,
    })
}

/// An operand as an array.
fn operand(op: &str, value: &Value) -> Result<Array> {
    value.to_array().map_err(|fault| match value {
        Value::Tuple(_) | Value::List(_) => fault,
        _ => Fault::new(format!("`{op}` of {} is not defined", value.with_article())),
    })
}

/// The kernel of an operator.
fn kernel(op: BinaryOp) -> Option<Binary> {
    Some(match op {
        BinaryOp::Add => Binary::Add,
        BinaryOp::Subtract => Binary::Subtract,
        BinaryOp::Multiply => Binary::Multiply,
        BinaryOp::Divide => Binary::Divide,
        BinaryOp::FloorDivide => Binary::FloorDivide,
        BinaryOp::Remainder => Binary::Remainder,
        BinaryOp::Power => Binary::Power,
        BinaryOp::ShiftLeft => Binary::ShiftLeft,
        BinaryOp::ShiftRight => Binary::ShiftRight,
        BinaryOp::And => Binary::And,
        BinaryOp::Xor => Binary::Xor,
        BinaryOp::Or => Binary::Or,
        BinaryOp::MatMul => return None,
    })
}

fn binary(op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    if let Some(value) = scalar::binary(op, a, b) {
        return value;
    }
    if let Some(value) = sequences(op, a, b) {
        return value;
    }
    // NumPy's operator, unlike its function `power`, squares truth values as int8.
    if let (BinaryOp::Power, Value::Array(base), Value::Int(2)) = (op, a, b)
        && base.dtype()? == DType::Bool
    {
        return Ok(base.square().into());
    }
    if op == BinaryOp::MatMul {
        return Ok(operand(op.text(), a)?.matmul(&operand(op.text(), b)?).into());
    }
    let number_or_array = |value: &Value| match value.is_number() {
        true => Ok(value.clone()),
        false => operand(op.text(), value).map(Value::Array),
    };
    let (a, b) = (number_or_array(a)?, number_or_array(b)?);
    let Some(kernel) = kernel(op) else {
        return Err(Fault::new(format!("`{}` is not defined", op.text())));
    };
    let of_floats = |value: &Value| match value {
        Value::Array(array) => array.dtype().is_ok_and(|dtype| dtype.is_float()),
        value => matches!(value, Value::Float(_)),
    };
    if op == BinaryOp::Xor && (of_floats(&a) || of_floats(&b)) {
        return Err(Fault::value("`^` of floats is not defined").help("`**` is the power"));
    }
    functions::binary(kernel, &a, &b)
}

fn is_sequence(value: &Value) -> bool {
    matches!(value, Value::Tuple(_) | Value::List(_))
}

/// Whether one is a list or a tuple, and the other, too, is Python's.
fn beside_no_array(a: &Value, b: &Value) -> bool {
    let is_array = |value: &Value| matches!(value, Value::Array(_));
    (is_sequence(a) || is_sequence(b)) && !is_array(a) && !is_array(b)
}

/// Python's operators of lists and tuples beside what is no array: `x.shape + (1,)`, `[0] * 3`. An array makes an
/// array of the other side.
fn sequences(op: BinaryOp, a: &Value, b: &Value) -> Option<Result<Value>> {
    /// More than formulas hold otherwise.
    const MOST: usize = 1 << 20;
    if !beside_no_array(a, b) {
        return None;
    }
    let repeated = |values: &[Value], count: i128| {
        let count = usize::try_from(count.max(0)).ok();
        let count = count.filter(|count| count.saturating_mul(values.len()) <= MOST);
        let count =
            count.ok_or_else(|| Fault::value(format!("a list of more than {MOST} values")))?;
        Ok(values.iter().cycle().take(count * values.len()).cloned().collect())
    };
    Some(match (op, a, b) {
        (BinaryOp::Add, Value::Tuple(a), Value::Tuple(b)) => {
            Ok(Value::Tuple(a.iter().chain(b).cloned().collect()))
        }
        (BinaryOp::Add, Value::List(a), Value::List(b)) => {
            Ok(Value::List(a.iter().chain(b).cloned().collect()))
        }
        (BinaryOp::Multiply, Value::Tuple(values), Value::Int(count))
        | (BinaryOp::Multiply, Value::Int(count), Value::Tuple(values)) => {
            repeated(values, *count).map(Value::Tuple)
        }
        (BinaryOp::Multiply, Value::List(values), Value::Int(count))
        | (BinaryOp::Multiply, Value::Int(count), Value::List(values)) => {
            repeated(values, *count).map(Value::List)
        }
        _ => {
            let (op, a, b) = (op.text(), a.with_article(), b.with_article());
            Err(Fault::new(format!("`{op}` of {a} and {b} is not defined"))
                .help("asarray(…) makes an array of a list"))
        }
    })
}

fn compared(op: CompareOp, a: &Value, b: &Value) -> Result<Value> {
    if let Some(holds) = scalar::compare(op, a, b) {
        return holds.map(Value::Bool);
    }
    let kernel = match op {
        CompareOp::Less => Binary::Less,
        CompareOp::LessEqual => Binary::LessEqual,
        CompareOp::Greater => Binary::Greater,
        CompareOp::GreaterEqual => Binary::GreaterEqual,
        CompareOp::Equal => Binary::Equal,
        CompareOp::NotEqual => Binary::NotEqual,
    };
    if beside_no_array(a, b) {
        // x.shape == y.shape; nothing else is equal to a list or a tuple.
        let equal = match (a, b) {
            (Value::Tuple(a) | Value::List(a), Value::Tuple(b) | Value::List(b)) => {
                let alike =
                    |(a, b)| matches!(scalar::compare(CompareOp::Equal, a, b), Some(Ok(true)));
                a.len() == b.len() && a.iter().zip(b).all(alike)
            }
            _ => false,
        };
        return match op {
            CompareOp::Equal => Ok(Value::Bool(equal)),
            CompareOp::NotEqual => Ok(Value::Bool(!equal)),
            _ => Err(Fault::new(format!("`{}` of tuples is not defined", op.text()))),
        };
    }
    functions::binary(kernel, a, b)
}
