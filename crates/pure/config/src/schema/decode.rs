//! From parsed values to typed ones, collecting errors and warnings.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Place, duration};
use crate::lang::{At, Files, Node, Text, Value, diagnostics};
use crate::limits::MAX_EXCERPTS;
use crate::quote::quoted;
use crate::table::{self, Block, Row, Status};

/// One error or warning.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The whole line.
    text: String,
    /// What the excerpt is titled and where it points.
    title: String,
    at: Option<At>,
}

/// The rest of an option cannot be read; why is recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop;

/// A value, or the end of its option.
pub(crate) type Decoded<T> = Result<T, Stop>;

/// Reads values and keeps what is wrong with them.
pub(crate) struct Decoder<'a> {
    files: &'a Files,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Where values of a wrong type are reported, if not at themselves.
    types_at: Option<At>,
    /// Names that must be unique in the whole configuration.
    pub(super) names: Names,
}

/// Names seen so far.
#[derive(Default)]
pub(super) struct Names {
    pub(super) accounts: BTreeSet<String>,
    pub(super) users: BTreeSet<String>,
    pub(super) nkeys: BTreeSet<String>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(files: &'a Files) -> Self {
        Decoder { files, errors: Vec::new(), warnings: Vec::new(), types_at: None, names: Names::default() }
    }

    /// The place of a value as messages and the edge name it.
    pub(crate) fn place(&self, at: &At) -> Place {
        let file = self.files.get(at.file).map(|file| file.name.clone()).unwrap_or_default();
        Place { file, line: at.line, position: at.position }
    }

    /// Records an error with its position.
    pub(crate) fn error(&mut self, at: &At, text: impl Into<String>) -> Stop {
        let title = text.into();
        let text = format!("{}: {title}", self.place(at));
        self.errors.push(Problem { text, title, at: Some(at.clone()) });
        Stop
    }

    /// Records an error whose line says no position; the excerpt shows it.
    pub(crate) fn bare_error(&mut self, at: &At, text: impl Into<String>) -> Stop {
        let text = text.into();
        self.errors.push(Problem { title: text.clone(), text, at: Some(at.clone()) });
        Stop
    }

    /// Records a warning about a field.
    pub(crate) fn warn(&mut self, at: &At, field: &str, reason: &str) {
        let title = format!("invalid use of field {}: {reason}", quoted(field));
        let text = format!("{}: {title}", self.place(at));
        self.warnings.push(Problem { text, title, at: Some(at.clone()) });
    }

    /// Records a warning about a whole file.
    pub(crate) fn warn_plain(&mut self, text: String) {
        self.warnings.push(Problem { title: text.clone(), text, at: None });
    }

    /// The row of a key. An unknown key is an error, unless a variable refers to it.
    pub(crate) fn row(&mut self, block: Block, key: &Text, node: &Node) -> Option<&'static Row> {
        let name = key.to_text();
        let row = table::find(block, &name);
        if row.is_none() && !node.used {
            self.error(&node.at, format!("unknown field {}", quoted(&name)));
        }
        row
    }

    /// Refuses an option without a feature.
    pub(crate) fn not_supported(&mut self, key: &Text, node: &Node, row: &Row) {
        debug_assert_eq!(row.status, Status::NotYet);
        let name = quoted(&key.to_text());
        self.error(&node.at, format!("option {name} is not supported by this version of midge yet"));
    }

    fn type_error(&mut self, node: &Node, expected: &str) -> Stop {
        let got = node.value.type_name();
        let at = self.types_at.clone().unwrap_or_else(|| node.at.clone());
        self.error(&at, format!("interface conversion: interface {{}} is {got}, not {expected}"))
    }

    /// Reads a block whose values of a wrong type are reported at the block itself.
    pub(crate) fn with_types_at<T>(&mut self, at: &At, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.types_at.replace(at.clone());
        let found = read(self);
        self.types_at = before;
        found
    }

    pub(crate) fn int(&mut self, node: &Node) -> Decoded<i64> {
        match node.value {
            Value::Integer(value) => Ok(value),
            _ => Err(self.type_error(node, "int64")),
        }
    }

    pub(crate) fn bool(&mut self, node: &Node) -> Decoded<bool> {
        match node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.type_error(node, "bool")),
        }
    }

    pub(crate) fn text(&mut self, node: &Node) -> Decoded<String> {
        match &node.value {
            Value::String(text) => Ok(text.to_text()),
            _ => Err(self.type_error(node, "string")),
        }
    }

    pub(crate) fn map<'n>(&mut self, node: &'n Node) -> Decoded<&'n crate::lang::Map> {
        match &node.value {
            Value::Map(map) => Ok(map),
            _ => Err(self.type_error(node, "map[string]interface {}")),
        }
    }

    pub(crate) fn array<'n>(&mut self, node: &'n Node) -> Decoded<&'n [Node]> {
        match &node.value {
            Value::Array(nodes) => Ok(nodes),
            _ => Err(self.type_error(node, "[]interface {}")),
        }
    }

    /// A duration; an integer is taken as seconds, with a warning.
    pub(crate) fn duration(&mut self, field: &str, node: &Node) -> Decoded<Duration> {
        if let Value::String(_) = node.value {
            return self.duration_text(field, node);
        }
        self.warn(&node.at, field, &format!("{field} should be converted to a duration"));
        let seconds = self.int(node)?;
        let nanos = seconds.checked_mul(1_000_000_000);
        nanos
            .and_then(duration::from_nanos)
            .ok_or_else(|| self.error(&node.at, format!("{field} cannot be negative or so large")))
    }

    /// A duration that must be text.
    pub(crate) fn duration_text(&mut self, field: &str, node: &Node) -> Decoded<Duration> {
        let nanos = self.duration_nanos(field, node)?;
        duration::from_nanos(nanos).ok_or_else(|| self.error(&node.at, format!("{field} cannot be negative")))
    }

    /// Nanoseconds of a duration text, which may be negative.
    pub(crate) fn duration_nanos(&mut self, field: &str, node: &Node) -> Decoded<i64> {
        let text = self.text(node)?;
        duration::parse(&text).map_err(|why| self.error(&node.at, format!("error parsing {field}: {why}")))
    }

    /// Seconds, possibly with a fraction, or a duration. `what` names the block in messages.
    pub(crate) fn seconds(&mut self, what: &str, node: &Node) -> Decoded<f64> {
        let seconds = match &node.value {
            #[allow(clippy::cast_precision_loss)]
            Value::Integer(value) => *value as f64,
            Value::Float(value) => *value,
            Value::String(text) => match duration::parse(&text.to_text()) {
                #[allow(clippy::cast_precision_loss)]
                Ok(nanos) => nanos as f64 / 1e9,
                Err(why) => {
                    return Err(self.error(&node.at, format!("error parsing {what} config, 'timeout' {why}")));
                }
            },
            _ => {
                return Err(
                    self.error(&node.at, format!("error parsing {what} config, 'timeout' wrong type"))
                );
            }
        };
        if seconds < 0.0 {
            return Err(self.error(&node.at, "timeout cannot be negative"));
        }
        Ok(seconds)
    }

    /// What was recorded, drawn.
    pub(crate) fn finish(self) -> Outcome {
        let lines = |problems: &[Problem]| problems.iter().map(|problem| problem.text.clone()).collect();
        let excerpts = self
            .warnings
            .iter()
            .chain(&self.errors)
            .filter_map(|problem| {
                let at = problem.at.as_ref()?;
                diagnostics::excerpt(self.files, at.file, &at.span, &problem.title)
                    .map(|picture| format!("{}\n{picture}\n", problem.title))
            })
            .take(MAX_EXCERPTS)
            .collect();
        Outcome { warnings: lines(&self.warnings), errors: lines(&self.errors), excerpts }
    }
}

/// What reading a file found wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) warnings: Vec<String>,
    pub(crate) errors: Vec<String>,
    excerpts: Vec<String>,
}

impl Outcome {
    /// Every line, warnings first, each with its end; then an empty line and the excerpts.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        for line in self.warnings.iter().chain(&self.errors) {
            text.push_str(line);
            text.push('\n');
        }
        for excerpt in &self.excerpts {
            text.push('\n');
            text.push_str(excerpt);
        }
        text
    }
}

/// A value inside a message, as far as messages show values.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_text(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Date(text) => text.clone(),
        Value::Array(nodes) if nodes.is_empty() => String::from("[]"),
        Value::Array(_) => String::from("[...]"),
        Value::Map(map) if map.is_empty() => String::from("map[]"),
        Value::Map(_) => String::from("map[...]"),
    }
}
