//! Script files. `scripts/README.md` describes the format for people who write them.

use anyhow::{Context, Result, bail, ensure};

use super::{Action, Ask, Awaited, ConnectOptions, ConnectionAction, HttpView, Script, Step};

/// Begins the expected transcript of midge.
const EXPECTED: &str = "=== midge";

/// Reads a script; `name` is `area/name`.
pub fn parse(name: &str, text: &str) -> Result<Script> {
    let mut script = Script { name: name.to_owned(), starts_server: true, ..Script::default() };
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| *line == "---").context("no line `---` before the steps")?;
    head(&mut script, &lines[..start])?;
    let end = lines.iter().position(|line| *line == EXPECTED).unwrap_or(lines.len());
    for (index, line) in lines.iter().enumerate().take(end).skip(start + 1) {
        let trimmed = line.trim_start();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            let action = step(trimmed).with_context(|| format!("line {}: {trimmed}", index + 1))?;
            script.steps.push(Step { line: index + 1, text: trimmed.to_owned(), action });
        }
    }
    if end < lines.len() {
        script.expected = Some(lines[end + 1..].iter().map(|line| (*line).to_owned()).collect());
    }
    ensure!(!script.pins.is_empty(), "no `# pins:` line");
    script.jetstream = script.pins.iter().any(|pin| pin.starts_with("jetstream "));
    ensure!(!script.steps.is_empty(), "no steps");
    Ok(script)
}

fn head(script: &mut Script, lines: &[&str]) -> Result<()> {
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        index += 1;
        if line.trim().is_empty() {
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            header(script, comment.trim())?;
            continue;
        }
        let title = line.strip_suffix(':').with_context(|| format!("line {index}: {line:?} is no header"))?;
        let mut body = String::new();
        while index < lines.len() && (lines[index].starts_with("  ") || lines[index].is_empty()) {
            body.push_str(lines[index].strip_prefix("  ").unwrap_or_default());
            body.push('\n');
            index += 1;
        }
        match title.split_once(' ') {
            None if title == "config" => script.config = Some(body),
            Some(("file", name)) => script.files.push((name.to_owned(), body)),
            _ => bail!("line {index}: unknown block {title:?}"),
        }
    }
    Ok(())
}

fn header(script: &mut Script, comment: &str) -> Result<()> {
    let Some((key, value)) = comment.split_once(": ") else { return Ok(()) };
    let list = || value.split(',').map(|item| item.trim().to_owned());
    match key {
        "pins" => script.pins.extend(list()),
        "differs" => script.differs = Some(value.to_owned()),
        "info" => script.info_full = value == "full",
        "pings" => script.shows_pings = value == "shown",
        "server" => script.starts_server = value != "none",
        "args" => script.arguments.extend(words(value)),
        "env" => {
            let (name, value) = value.split_once('=').context("env: NAME=VALUE")?;
            script.environment.push((name.to_owned(), value.to_owned()));
        }
        "log" => script.log_file = Some(value.to_owned()),
        "mask" => script.masked.extend(list()),
        "codes" => {
            let codes: Result<Vec<u16>, _> = value.split_whitespace().map(str::parse).collect();
            script.codes = Some(codes.context("codes: NUMBER NUMBER")?);
        }
        // Any other comment is for the reader.
        _ => {}
    }
    Ok(())
}

/// Words separated by blanks; single quotes keep blanks, and nothing is escaped.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

fn step(text: &str) -> Result<Action> {
    let end = text.find([':', '>', '<', '!', '?']).context("neither `:`, `>`, `<`, `!` nor `?`")?;
    let (name, rest) = text.split_at(end);
    if rest.starts_with(['!', '?']) {
        return Ok(connection(name, ConnectionAction::Ask(ask(rest)?)));
    }
    if let Some(raw) = rest.strip_prefix(">>") {
        return Ok(connection(name, ConnectionAction::Send(after_blank(raw).to_owned())));
    }
    if let Some(line) = rest.strip_prefix('>') {
        return Ok(connection(name, ConnectionAction::Line(after_blank(line).to_owned())));
    }
    if let Some(line) = rest.strip_prefix('<') {
        return Ok(connection(name, ConnectionAction::Expect(after_blank(line).to_owned())));
    }
    let rest = rest[1..].trim_start();
    match name {
        "run" | "ends" => Ok(Action::Run { arguments: words(rest), brief: name == "ends" }),
        "http" => http(rest),
        "log" => Ok(Action::LogWait(rest.to_owned())),
        "logs" => Ok(Action::LogLines(rest.to_owned())),
        "file" => Ok(Action::File(rest.to_owned())),
        "gone" => Ok(Action::FileGone(rest.to_owned())),
        "exists" => Ok(Action::FileExists(rest.to_owned())),
        "signal" => Ok(Action::Signal(rest.to_owned())),
        "start" => Ok(Action::Start(words(rest))),
        "write" => {
            let (file, text) = rest.split_once(' ').context("write: FILE TEXT")?;
            Ok(Action::Write { file: file.to_owned(), text: text.to_owned() })
        }
        "server" => match rest {
            "exit" => Ok(Action::Exit),
            "kill" => Ok(Action::Kill),
            "refuses" => Ok(Action::Refused),
            other => bail!("unknown server step {other:?}"),
        },
        _ => Ok(connection(name, connection_action(rest)?)),
    }
}

/// One blank after the arrow belongs to the script, further ones to the text.
fn after_blank(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

/// `!AWAITED SUBJECT [(HEADERS)] [BODY]`, or `? TEXT => SUBJECT [(HEADERS)] [BODY]`.
fn ask(text: &str) -> Result<Ask> {
    let (awaited, rest) = if let Some(rest) = text.strip_prefix('?') {
        let (wanted, rest) = rest.split_once(" => ").context("? TEXT => SUBJECT [BODY]")?;
        (Awaited::Until(wanted.trim().to_owned()), rest)
    } else {
        let (kind, rest) = text[1..].split_once(' ').context("! SUBJECT [BODY]")?;
        let awaited = match kind {
            "" => Awaited::Replies(1),
            "*" => Awaited::Status,
            "-" => Awaited::Nothing,
            "0" => Awaited::Silence,
            _ => match (kind.parse(), kind.strip_prefix('+')) {
                (_, Some(count)) => Awaited::Many(count.parse().context("!+COUNT")?),
                (Ok(count), None) => Awaited::Replies(count),
                (Err(_), None) => Awaited::At(kind.to_owned()),
            },
        };
        (awaited, rest)
    };
    let (subject, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut headers = Vec::new();
    if let Some((inside, after)) = rest
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(") ").or(rest.strip_suffix(')').map(|inside| (inside, ""))))
    {
        for line in inside.split("; ") {
            let (name, value) = line
                .split_once(": ")
                .or(line.strip_suffix(':').map(|name| (name, "")))
                .context("(Name: value; Name: value)")?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        rest = after;
    }
    Ok(Ask { subject: subject.to_owned(), headers, body: rest.to_owned(), awaited })
}

fn connection(name: &str, does: ConnectionAction) -> Action {
    Action::Connection { name: name.to_owned(), does }
}

fn connection_action(text: &str) -> Result<ConnectionAction> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let sorted = rest.split(' ').any(|word| word == "sorted");
    Ok(match verb {
        "connect" => ConnectionAction::Connect(connect_options(rest)?.0),
        "login" => {
            let (options, json) = connect_options(rest)?;
            let json = if json.is_empty() { r#"{"verbose":false,"pedantic":false}"# } else { json };
            ConnectionAction::Login { options, json: json.to_owned(), seed: None }
        }
        "js" => {
            let (options, json) = connect_options(rest)?;
            let usual = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true"#;
            let json =
                json.strip_prefix('{').map_or_else(|| format!("{usual}}}"), |json| format!("{usual},{json}"));
            ConnectionAction::Login { options, json, seed: None }
        }
        "nkey" => {
            let (seed, json) = rest.split_once(' ').unwrap_or((rest, "{}"));
            let options = ConnectOptions::default();
            ConnectionAction::Login { options, json: json.to_owned(), seed: Some(seed.to_owned()) }
        }
        "split" => {
            let (size, text) = rest.split_once(' ').context("split SIZE TEXT")?;
            ConnectionAction::Split { size: size.parse()?, text: text.to_owned() }
        }
        "sync" => ConnectionAction::Sync { sorted },
        "read" => {
            let count = rest.split(' ').next().unwrap_or_default().parse().context("read COUNT")?;
            ConnectionAction::Read { count, sorted }
        }
        "backup" | "restore" => {
            let (stream, json) = rest.split_once(' ').unwrap_or((rest, ""));
            let (stream, json) = (stream.to_owned(), json.to_owned());
            if verb == "backup" {
                ConnectionAction::Backup { stream, json }
            } else {
                ConnectionAction::Restore { stream, json }
            }
        }
        "closed" => ConnectionAction::Closed,
        "close" => ConnectionAction::Close,
        other => bail!("unknown step {other:?}"),
    })
}

/// Options before the JSON text, and the text.
fn connect_options(text: &str) -> Result<(ConnectOptions, &str)> {
    let (words, json) = text.split_at(text.find('{').unwrap_or(text.len()));
    let mut options = ConnectOptions::default();
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some(("cert", name)) => options.certificate = Some(name.to_owned()),
            None if word == "tls" => options.tls = true,
            None if word == "tlsfirst" => options.tls_first = true,
            None if word == "tls12" => options.tls12 = true,
            None if word == "silent" => options.silent = true,
            _ => bail!("unknown connection option {word:?}"),
        }
    }
    Ok((options, json))
}

fn http(text: &str) -> Result<Action> {
    let mut words = text.split_whitespace();
    let mut path = words.next().context("a path")?.to_owned();
    let mut view = HttpView::default();
    if !path.starts_with('/') {
        view.method = path;
        path = words.next().context("a path after the method")?.to_owned();
    }
    for word in words {
        match word.split_once('=') {
            Some(("fields", fields)) => view.fields = fields.split(',').map(str::to_owned).collect(),
            Some(("until", line)) => view.until = Some(line.replacen('=', ": ", 1)),
            None if word == "headers" => view.headers = true,
            None if word == "keys" => view.keys = true,
            None if word == "raw" => view.raw = true,
            _ => bail!("unknown view {word:?}"),
        }
    }
    Ok(Action::Http { path, view })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A title.\n# pins: client-protocol 1.7, client-protocol 1.8\n# args: -D --name 'a b'\nconfig:\n  a: 1\n\n  b {\n    c: 2\n  }\n---\na: login {\"user\":\"x\"}\n# a comment\na> PING\na< PONG\nhttp: /varz fields=a,b.c\nserver: exit\n=== midge\na: login\n";

    #[test]
    fn a_script_is_read() {
        let script = parse("area/name", TEXT).expect("a script");
        assert_eq!(script.pins, ["client-protocol 1.7", "client-protocol 1.8"]);
        assert_eq!(script.arguments, ["-D", "--name", "a b"]);
        assert_eq!(script.config.as_deref(), Some("a: 1\n\nb {\n  c: 2\n}\n"));
        assert_eq!(script.steps.len(), 5);
        assert_eq!(script.expected.as_deref(), Some(&["a: login".to_owned()][..]));
    }

    #[test]
    fn a_script_without_pins_is_refused() {
        assert!(parse("area/name", "---\na: connect\n").is_err());
    }

    #[test]
    fn requests_have_headers_a_body_and_something_awaited() {
        let read = |text: &str| match step(text).expect(text) {
            Action::Connection { does: ConnectionAction::Ask(ask), .. } => ask,
            other => panic!("{text}: {other:?}"),
        };
        let plain = read("a! foo {\"b\": (1)}");
        assert_eq!((plain.subject.as_str(), plain.body.as_str()), ("foo", "{\"b\": (1)}"));
        assert_eq!(plain.awaited, Awaited::Replies(1));
        let headers = read("a!- foo (Nats-TTL: 5; X: a:b; Empty:) body");
        assert_eq!(headers.awaited, Awaited::Nothing);
        assert_eq!(headers.headers.len(), 3);
        assert_eq!(headers.headers[1], ("X".to_owned(), "a:b".to_owned()));
        assert_eq!(headers.body, "body");
        assert_eq!(read("a!* foo").awaited, Awaited::Status);
        assert_eq!(read("a!+20 foo").awaited, Awaited::Many(20));
        assert_eq!(read("a!inbox.1 foo (A: b)").awaited, Awaited::At("inbox.1".to_owned()));
        assert_eq!(read("a? messages: 0 => foo x").awaited, Awaited::Until("messages: 0".to_owned()));
    }

    #[test]
    fn unknown_steps_are_refused() {
        for wrong in ["a: jump", "nothing", "server: dance", "a: connect fast"] {
            assert!(step(wrong).is_err(), "{wrong}");
        }
    }
}
