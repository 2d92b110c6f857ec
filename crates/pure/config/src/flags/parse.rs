//! The syntax of flags: one or two dashes, `-f v` or `-f=v`, booleans without a value.

use crate::quote::quoted;
use crate::table::{Flag, FlagKind};

/// A flag's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
}

/// A parsed command line.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    /// Flags in the order given, with the name used.
    pub(super) given: Vec<(&'static Flag, String, Value)>,
    /// What follows the flags.
    pub(super) words: Vec<String>,
}

impl Arguments {
    /// The last value of a flag, under whichever of its names.
    pub(super) fn last(&self, name: &str) -> Option<&Value> {
        self.given.iter().rev().find(|(flag, _, _)| flag.name() == name).map(|(_, _, value)| value)
    }
}

/// Splits a command line. The error is the line for standard error.
pub(super) fn parse(arguments: &[String]) -> Result<Arguments, String> {
    let mut parsed = Arguments::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let body = match argument.strip_prefix('-') {
            Some(body) if !body.is_empty() => body,
            _ => {
                parsed.words.push(argument.clone());
                break;
            }
        };
        if body == "-" {
            break;
        }
        let body = body.strip_prefix('-').unwrap_or(body);
        if body.is_empty() || body.starts_with('-') || body.starts_with('=') {
            return Err(format!("bad flag syntax: {argument}"));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let Some(flag) = Flag::find(name) else {
            return Err(format!("flag provided but not defined: -{name}"));
        };
        let value = match (flag.kind, value) {
            (FlagKind::Bool, None) => Value::Bool(true),
            (FlagKind::Bool, Some(text)) => Value::Bool(parse_bool(&text).ok_or_else(|| {
                format!("invalid boolean value {} for -{name}: parse error", quoted(&text))
            })?),
            (kind, value) => {
                let text = match value {
                    Some(text) => text,
                    None => rest.next().cloned().ok_or_else(|| format!("flag needs an argument: -{name}"))?,
                };
                match kind {
                    FlagKind::Int => {
                        Value::Int(parse_int(&text).map_err(|why| {
                            format!("invalid value {} for flag -{name}: {why}", quoted(&text))
                        })?)
                    }
                    _ => Value::Text(text),
                }
            }
        };
        parsed.given.push((flag, name.to_owned(), value));
    }
    parsed.words.extend(rest.cloned());
    Ok(parsed)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A number in base 10, or 16, 8 or 2 by its prefix; underscores may stand between digits.
fn parse_int(text: &str) -> Result<i64, &'static str> {
    const SYNTAX: &str = "parse error";
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body, prefixed) = if let Some(body) = lower.strip_prefix("0x") {
        (16, body, true)
    } else if let Some(body) = lower.strip_prefix("0b") {
        (2, body, true)
    } else if let Some(body) = lower.strip_prefix("0o") {
        (8, body, true)
    } else if let Some(body) = lower.strip_prefix('0').filter(|body| !body.is_empty()) {
        (8, body, true)
    } else {
        (10, lower.as_str(), false)
    };
    if body.is_empty() || body.ends_with('_') || body.contains("__") || (!prefixed && body.starts_with('_')) {
        return Err(SYNTAX);
    }
    let body: String = body.chars().filter(|&c| c != '_').collect();
    if body.is_empty() || !body.chars().all(|c| c.is_digit(radix)) {
        return Err(SYNTAX);
    }
    let magnitude = i128::from_str_radix(&body, radix).map_err(|_| "value out of range")?;
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| "value out of range")
}

#[cfg(test)]
mod tests {
    use super::parse_int;

    #[test]
    fn numbers_have_prefixes_and_underscores() {
        for (text, expected) in [
            ("4222", Ok(4222)),
            ("-1", Ok(-1)),
            ("+7", Ok(7)),
            ("0x1F", Ok(31)),
            ("0b101", Ok(5)),
            ("0o17", Ok(15)),
            ("017", Ok(15)),
            ("0", Ok(0)),
            ("1_000", Ok(1000)),
            ("1__0", Err("parse error")),
            ("_1", Err("parse error")),
            ("08", Err("parse error")),
            ("", Err("parse error")),
            ("-", Err("parse error")),
            ("1k", Err("parse error")),
            ("9223372036854775808", Err("value out of range")),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("99999999999999999999999999999999999999999999999", Err("value out of range")),
        ] {
            assert_eq!(parse_int(text), expected, "{text}");
        }
    }
}
