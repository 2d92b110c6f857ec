use super::*;

/// The values of a text as canonical JSON is not exported, so values are compared in debug form.
fn parse(text: &str) -> Result<Vec<(String, Value)>, String> {
    let source = MemorySource::new().file("t.conf", text);
    parse_file("t.conf", &source)
        .map(|document| document.map.iter().map(|(key, node)| (key.to_text(), node.value.clone())).collect())
        .map_err(|error| error.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn smoke() {
    assert!(parse("port: 1").is_ok());
}
