//! Documents held against JSON schemas, as far as those of the API use the language: types, ranges, patterns, fields, alternatives.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use midge_stdx::gotime::parse_rfc3339;
use regex_lite::Regex;
use serde_json::Value;

/// Schemas by the type that a document tells, and what did not fit.
#[derive(Debug, Default)]
pub struct Schemas {
    by_type: BTreeMap<String, Value>,
    /// By type and fault: how often each of the two servers showed it, and a script that does.
    faults: BTreeMap<(String, String), ([usize; 2], String)>,
    /// Types without a schema, and how many documents of each.
    unknown: BTreeMap<String, usize>,
    held: usize,
}

impl Schemas {
    /// Reads all schemas below a folder whose property `type` is a constant.
    ///
    /// # Errors
    /// The folder cannot be read, or a file is no JSON.
    pub fn read(dir: &Path) -> Result<Schemas> {
        let mut schemas = Schemas::default();
        let mut folders = vec![dir.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "json") {
                    let text = std::fs::read_to_string(&path)?;
                    let schema: Value =
                        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
                    if let Some(kind) = kind_of(&schema) {
                        schemas.by_type.insert(kind, schema);
                    }
                }
            }
        }
        Ok(schemas)
    }

    /// Holds the documents of the reference and of the other server against their schemas.
    pub fn hold(&mut self, script: &str, documents: &[Vec<Value>; 2]) {
        for (server, documents) in documents.iter().enumerate() {
            for document in documents {
                let kind = document["type"].as_str().unwrap_or_default();
                let Some(schema) = self.by_type.get(kind) else {
                    *self.unknown.entry(kind.to_owned()).or_default() += 1;
                    continue;
                };
                self.held += 1;
                for fault in misfits(schema, document) {
                    let (counts, _) = self
                        .faults
                        .entry((kind.to_owned(), plain(&fault)))
                        .or_insert_with(|| ([0, 0], script.to_owned()));
                    counts[server] += 1;
                }
            }
        }
    }

    /// What was found, line by line; what only the other server does comes first.
    pub fn report(&self) -> Vec<String> {
        let mut faults: Vec<_> = self.faults.iter().collect();
        faults.sort_by_key(|(_, (counts, _))| counts[0] > 0);
        let mut lines: Vec<String> = faults
            .into_iter()
            .map(|((kind, fault), (counts, script))| {
                format!("misfit: {kind} {fault} (reference {}, server {}; {script})", counts[0], counts[1])
            })
            .collect();
        lines.extend(self.unknown.iter().map(|(kind, count)| format!("no schema: {kind} ({count})")));
        let own = self.faults.values().filter(|(counts, _)| counts[0] == 0).count();
        lines
            .push(format!("{} documents held against schemas: {own} misfits of the server alone", self.held));
        lines
    }
}

/// The constant that a schema demands of the field `type`, also inside `allOf` and `oneOf`.
fn kind_of(schema: &Value) -> Option<String> {
    if let Some(kind) = schema["properties"]["type"]["const"].as_str() {
        return Some(kind.to_owned());
    }
    ["allOf", "oneOf"].iter().find_map(|list| schema[list].as_array()?.iter().find_map(kind_of))
}

/// A fault without the places in arrays and without values, so that equal ones are counted together.
fn plain(fault: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in fault.chars() {
        match character {
            '[' => inside = true,
            ']' if inside => {
                inside = false;
                text.push_str("[]");
            }
            _ if inside => {}
            other => text.push(other),
        }
    }
    text
}

/// What is wrong with a document: `path: why`, nothing when it fits. An unknown rule in a schema is no fault of the document.
pub fn misfits(schema: &Value, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, document, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else { return };
    let mut wrong = |why: String| found.push(format!("{path}: {why}"));
    if let Some(types) = rules.get("type")
        && !names(types).iter().any(|name| is_of(name, value))
    {
        wrong(format!("not of type {types}"));
        return;
    }
    if let Some(fixed) = rules.get("const")
        && fixed != value
    {
        wrong(format!("not {fixed}"));
    }
    if let Some(allowed) = rules.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        wrong(format!("{value} is none of {}", Value::Array(allowed.clone())));
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| rules.get(name).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most)
        {
            wrong(format!("{value} is out of range"));
        }
    }
    if let Some(text) = value.as_str() {
        for why in text_misfits(rules, text) {
            wrong(why);
        }
    }
    if let Some(fields) = value.as_object() {
        check_fields(rules, fields, path, found);
    }
    if let (Some(items), Some(rule)) = (value.as_array(), rules.get("items")) {
        for (index, item) in items.iter().enumerate() {
            check(rule, item, &format!("{path}[{index}]"), found);
        }
    }
    for rule in rules.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        check(rule, value, path, found);
    }
    if let Some(choices) = rules.get("oneOf").and_then(Value::as_array) {
        check_choice(choices, value, path, found);
    }
}

/// One of the alternatives has to fit. When none does, the faults of the closest are told.
fn check_choice(choices: &[Value], value: &Value, path: &str, found: &mut Vec<String>) {
    let mut tried: Vec<Vec<String>> = choices
        .iter()
        .map(|choice| {
            let mut faults = Vec::new();
            check(choice, value, path, &mut faults);
            faults
        })
        .collect();
    let fitting = tried.iter().filter(|faults| faults.is_empty()).count();
    if fitting > 1 {
        found.push(format!("{path}: fits {fitting} alternatives at once"));
    } else if fitting == 0 {
        tried.sort_by_key(Vec::len);
        found.extend(tried.into_iter().next().unwrap_or_default());
    }
}

fn text_misfits(rules: &serde_json::Map<String, Value>, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let length = text.chars().count() as u64;
    let bound = |name: &str| rules.get(name).and_then(Value::as_u64);
    if bound("minLength").is_some_and(|least| length < least)
        || bound("maxLength").is_some_and(|most| length > most)
    {
        found.push(format!("{length} characters"));
    }
    if let Some(pattern) = rules.get("pattern").and_then(Value::as_str)
        && let Ok(regex) = Regex::new(pattern)
        && !regex.is_match(text)
    {
        found.push(format!("{text:?} does not match {pattern}"));
    }
    let dated = rules.get("format").and_then(Value::as_str) == Some("date-time");
    if dated && parse_rfc3339(text).is_err() {
        found.push(format!("{text:?} is no time"));
    }
    found
}

fn check_fields(
    rules: &serde_json::Map<String, Value>,
    fields: &serde_json::Map<String, Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    for name in rules.get("required").and_then(Value::as_array).into_iter().flatten() {
        if name.as_str().is_some_and(|name| !fields.contains_key(name)) {
            found.push(format!("{path}: lacks {name}"));
        }
    }
    let known = rules.get("properties").and_then(Value::as_object);
    let patterns: Vec<(Regex, &Value)> = rules
        .get("patternProperties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(pattern, rule)| Some((Regex::new(pattern).ok()?, rule)))
        .collect();
    for (name, value) in fields {
        let below = format!("{path}.{name}");
        let by_pattern = patterns.iter().find(|(pattern, _)| pattern.is_match(name)).map(|(_, rule)| *rule);
        match (known.and_then(|known| known.get(name)).or(by_pattern), rules.get("additionalProperties")) {
            (Some(rule), _) => check(rule, value, &below, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{path}: unknown field {name}")),
            (None, Some(rule)) => check(rule, value, &below, found),
            (None, None) => {}
        }
    }
}

fn names(types: &Value) -> Vec<&str> {
    match types {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_fit_or_are_told_why_not() {
        let schema = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {
                "a": {"type": "integer", "minimum": 1},
                "b": {"type": ["array", "null"], "items": {"type": "string", "pattern": "^[a-z]+$"}},
                "c": {"oneOf": [{"type": "string", "const": "x"}, {"type": "boolean"}]},
                "t": {"type": "string", "format": "date-time"}
            }
        });
        let good = json!({"a": 1, "b": ["x"], "c": true, "t": "2026-01-02T03:04:05.6Z"});
        assert!(misfits(&schema, &good).is_empty());
        assert!(misfits(&schema, &json!({"a": 2, "b": null, "c": "x"})).is_empty());
        let bad = json!({"b": ["X", 1], "c": 3, "d": 1, "t": "x"});
        let found = misfits(&schema, &bad);
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(misfits(&schema, &json!({"a": 0})), [".a: 0 is out of range"]);
        assert_eq!(misfits(&schema, &json!([])), [": not of type \"object\""]);
    }
}
