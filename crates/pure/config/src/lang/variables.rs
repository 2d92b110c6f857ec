//! What a `$NAME` stands for: an earlier key of an enclosing map, else an environment variable.

use std::rc::Rc;

use super::Error;
use super::parser::{Frame, Parser};
use super::tokens::Token;
use super::values::{Text, Value};
use crate::limits::MAX_ENV_DEPTH;

/// A reference that starts like this is a bcrypt hash.
const BCRYPT_PREFIX: &str = "2a$";

/// The key that an environment text is parsed under.
const ENV_KEY: &str = "pk";

/// Sets the value of a reference where it stands.
pub(super) fn resolve(parser: &mut Parser<'_, '_>, token: &Token) -> Result<(), Error> {
    let name = String::from_utf8_lossy(&token.text).into_owned();
    if name.starts_with(BCRYPT_PREFIX) {
        return parser.set(Value::String(Text::new(format!("${name}").into_bytes())), token.at.clone());
    }
    let at = &token.at;
    let value = match enclosing(parser, &token.text) {
        Some(value) => Some(value),
        None => environment(parser, &name, token)?,
    };
    let Some(value) = value else {
        let text = format!("variable reference for '{name}' on line {} can not be found", at.line);
        return Err(parser.located(text, &at.span));
    };
    let (count, levels) = value.measure();
    parser.check_depth(levels, at)?;
    parser.loader.count(count).map_err(|why| parser.located(why, &at.span))?;
    parser.set(value, at.clone())
}

/// Looks through the open maps, innermost first, and marks what it finds as used.
fn enclosing(parser: &mut Parser<'_, '_>, name: &[u8]) -> Option<Value> {
    let key = Text::new(name.to_vec());
    parser.frames.iter_mut().rev().find_map(|frame| match frame {
        Frame::Map(map, _) => map.get_mut(&key).map(|node| {
            node.used = true;
            node.value.clone()
        }),
        Frame::Array(_) => None,
    })
}

/// Reads an environment variable as the value of a key, in a text of its own.
fn environment(parser: &mut Parser<'_, '_>, name: &str, token: &Token) -> Result<Option<Value>, Error> {
    let at = &token.at;
    let failed = |parser: &Parser<'_, '_>, why: &str| {
        let text = format!("variable reference for '{name}' on line {} could not be parsed: {why}", at.line);
        parser.located(text, &at.span)
    };
    let depth = parser.env_depth.saturating_add(1);
    if parser.loader.is_resolving(name) {
        return Err(failed(parser, &format!("variable reference cycle for '{name}'")));
    }
    let Some(text) = parser.loader.env(name) else { return Ok(None) };
    if depth > MAX_ENV_DEPTH {
        let why = format!("variables refer to each other more than {MAX_ENV_DEPTH} levels deep");
        return Err(failed(parser, &why));
    }
    let text: Rc<[u8]> = format!("{ENV_KEY}={text}").into_bytes().into();
    parser.loader.begin_resolving(name);
    let parsed = Parser::new(parser.loader, String::new(), at.file, 0, depth).parse(&text);
    parser.loader.end_resolving();
    let map = parsed.map_err(|error| failed(parser, &error.text))?;
    let value = map.into_entries().into_iter().find(|(key, _)| key.bytes() == ENV_KEY.as_bytes());
    Ok(value.map(|(_, node)| {
        let mut value = node.value;
        value.relocate(at);
        value
    }))
}
