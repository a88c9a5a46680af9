//! Signatures, as Python writes them, and how arguments find their parameters.
//!
//! A signature is a text, `mean(a, axis=None, dtype=None, *, keepdims=False)`: it is what the user is
//! shown and what calls are bound by, so that the two cannot differ. Before the bracket stand the
//! function's names, `absolute|abs`, the second and further ones being others for the same.

use super::{
    eval,
    fault::{Fault, Result, Span, nearest},
    parser,
    value::Value,
};

/// How a parameter may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// By its place only: before `/`.
    Place,
    /// By its place or its name.
    Either,
    /// By its name only: behind `*`.
    Name,
    /// Takes all that is left: `*shape`.
    Rest,
}

#[derive(Clone, Debug)]
struct Parameter {
    name: &'static str,
    how: How,
    default: Option<Value>,
}

/// A signature, read.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    /// The names with their module: `sum`, `linalg.norm`, `ndarray.astype`.
    pub(super) names: Vec<String>,
    parameters: Vec<Parameter>,
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub(super) struct Given<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) value: Value,
    pub(super) span: Span,
}

impl Signature {
    /// Reads a text of the table, of which it can be sure; `None` of a text that is no signature.
    pub(super) fn read(text: &'static str) -> Option<Signature> {
        let (head, rest) = text.split_once('(')?;
        let (module, names) = head.rsplit_once('.').map_or(("", head), |(m, names)| (m, names));
        let names = names.split('|').map(|name| match module {
            "" => name.to_owned(),
            module => format!("{module}.{name}"),
        });
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut how = How::Either;
        for part in split(rest.strip_suffix(')')?) {
            match part {
                "/" => parameters.iter_mut().for_each(|parameter| parameter.how = How::Place),
                "*" => how = How::Name,
                _ => {
                    let (name, default) = match part.split_once('=') {
                        Some((name, default)) => (name, Some(literal(default)?)),
                        None => (part, None),
                    };
                    let (name, this) = match name.strip_prefix('*') {
                        Some(name) => (name, How::Rest),
                        None => (name, how),
                    };
                    parameters.push(Parameter { name, how: this, default });
                    if this == How::Rest {
                        how = How::Name;
                    }
                }
            }
        }
        Some(Signature { names: names.collect(), parameters })
    }

    /// The name of the function in messages.
    fn name(&self) -> &str {
        self.names.first().map_or("", |name| name.rsplit('.').next().unwrap_or(name))
    }

    /// The values of all parameters, in their order: those `given`, or their defaults.
    pub(super) fn bind(&self, given: Vec<Given<'_>>) -> Result<Vec<(&'static str, Value)>> {
        let mut bound: Vec<Option<Value>> = vec![None; self.parameters.len()];
        let mut rest = Vec::new();
        let places = self.places();
        let takes_rest = self.parameters.iter().position(|parameter| parameter.how == How::Rest);
        let by_place = given.iter().filter(|argument| argument.name.is_none()).count();
        for (place, argument) in given.into_iter().enumerate() {
            let Given { name, value, span } = argument;
            let Some(name) = name else {
                match (place < places, takes_rest) {
                    (true, _) => bound[place] = Some(value),
                    (false, Some(_)) => rest.push(value),
                    (false, None) => return Err(self.too_many(by_place).at(span)),
                }
                continue;
            };
            let at = self.parameters.iter().position(|parameter| {
                parameter.name == name && matches!(parameter.how, How::Either | How::Name)
            });
            let Some(at) = at else { return Err(self.unknown(name).at(span)) };
            if bound[at].is_some() {
                let fault = format!("{}() got multiple values for argument '{name}'", self.name());
                return Err(Fault::new(fault).at(span));
            }
            bound[at] = Some(value);
        }
        if let Some(at) = takes_rest {
            bound[at] = Some(Value::Tuple(rest));
        }
        let missing: Vec<&str> = (self.parameters.iter().zip(&bound))
            .filter(|(parameter, value)| value.is_none() && parameter.default.is_none())
            .map(|(parameter, _)| parameter.name)
            .collect();
        if !missing.is_empty() {
            return Err(self.missing(&missing));
        }
        let values = self.parameters.iter().zip(bound).map(|(parameter, value)| {
            (parameter.name, value.or_else(|| parameter.default.clone()).unwrap_or(Value::None))
        });
        Ok(values.collect())
    }

    /// Whether the parameter `name` takes all arguments that are left.
    pub(super) fn takes_rest(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name && parameter.how == How::Rest)
    }

    /// How many parameters can be given by their place.
    fn places(&self) -> usize {
        let by_place = |parameter: &&Parameter| matches!(parameter.how, How::Place | How::Either);
        self.parameters.iter().filter(by_place).count()
    }

    fn too_many(&self, given: usize) -> Box<Fault> {
        let most = self.places();
        let optional = self.parameters[..most].iter().filter(|p| p.default.is_some()).count();
        let takes = match optional {
            0 => format!("{most}"),
            _ => format!("from {} to {most}", most - optional),
        };
        let plural = if most == 1 && optional == 0 { "" } else { "s" };
        let were = if given == 1 { "was" } else { "were" };
        Fault::new(format!(
            "{}() takes {takes} positional argument{plural} but {given} {were} given",
            self.name()
        ))
    }

    fn unknown(&self, name: &str) -> Box<Fault> {
        if self.parameters.iter().any(|p| p.name == name && p.how == How::Place) {
            return Fault::new(format!(
                "{}() got a positional-only argument passed as keyword argument: '{name}'",
                self.name()
            ));
        }
        let fault =
            Fault::new(format!("{}() got an unexpected keyword argument '{name}'", self.name()));
        let names: Vec<&str> = self
            .parameters
            .iter()
            .filter(|parameter| matches!(parameter.how, How::Either | How::Name))
            .map(|parameter| parameter.name)
            .filter(|&name| name != "self")
            .collect();
        match (nearest(name, names.iter().copied()), names.is_empty()) {
            (Some(near), _) => fault.help(format!("did you mean '{near}'?")),
            (None, false) => fault.help(format!("it takes {}", names.join(", "))),
            (None, true) => fault,
        }
    }

    fn missing(&self, names: &[&str]) -> Box<Fault> {
        let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let list = match &quoted[..] {
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
            [] => String::new(),
        };
        let plural = if names.len() == 1 { "" } else { "s" };
        Fault::new(format!(
            "{}() missing {} required positional argument{plural}: {list}",
            self.name(),
            names.len()
        ))
    }
}

/// The parts between commas that stand in no brackets.
fn split(text: &'static str) -> Vec<&'static str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// The value of a default.
fn literal(text: &str) -> Option<Value> {
    eval::constant(&parser::parse(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(signature: &'static str, given: &[(Option<&str>, i128)]) -> String {
        let given = given.iter().map(|&(name, value)| Given {
            name,
            value: Value::Int(value),
            span: Span::default(),
        });
        match Signature::read(signature).unwrap().bind(given.collect()) {
            Err(fault) => fault.to_string(),
            Ok(values) => {
                let values = values.iter().map(|(name, value)| match value {
                    Value::Int(value) => format!("{name}={value}"),
                    other => format!("{name}={other:?}"),
                });
                values.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn arguments_find_their_parameters() {
        let f = "m.f|g(a, /, b=2, *, c=-3)";
        assert_eq!(Signature::read(f).unwrap().names, ["m.f", "m.g"]);
        assert_eq!(bind(f, &[(None, 1)]), "a=1 b=2 c=-3");
        assert_eq!(bind(f, &[(None, 1), (Some("c"), 5), (Some("b"), 4)]), "a=1 b=4 c=5");
        assert_eq!(bind(f, &[]), "f() missing 1 required positional argument: 'a'");
        assert_eq!(
            bind(f, &[(None, 1), (None, 1), (None, 1)]),
            "f() takes from 1 to 2 positional arguments but 3 were given"
        );
        assert_eq!(
            bind(f, &[(None, 1), (None, 1), (Some("b"), 1)]),
            "f() got multiple values for argument 'b'"
        );
        assert_eq!(
            bind(f, &[(Some("a"), 1)]),
            "f() got a positional-only argument passed as keyword argument: 'a'"
        );
        assert_eq!(
            bind(f, &[(None, 1), (Some("d"), 1)]),
            "f() got an unexpected keyword argument 'd'"
        );
        assert_eq!(
            bind("f(a, b, c)", &[]),
            "f() missing 3 required positional arguments: 'a', 'b' and 'c'"
        );
        assert_eq!(
            bind("f(a)", &[(None, 1), (None, 2)]),
            "f() takes 1 positional argument but 2 were given"
        );
        assert_eq!(
            bind("f(a, *rest, k=1)", &[(None, 1), (Some("k"), 7)]),
            "a=1 rest=Tuple([]) k=7"
        );
        assert_eq!(
            bind("f(a, *rest)", &[(None, 1), (None, 2), (None, 3)]),
            "a=1 rest=Tuple([Int(2), Int(3)])"
        );
    }
}
