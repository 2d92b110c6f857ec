//! What happened in a conversation, line by line.

/// A record of one conversation with one server.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The lines, masked.
    pub lines: Vec<String>,
    /// Steps whose condition never held. A transcript with any is no reference.
    pub stuck: Vec<String>,
    /// The documents with a type that came, as they came.
    pub documents: Vec<serde_json::Value>,
}

impl Transcript {
    /// A heading: the step as it is written.
    pub fn step(&mut self, text: &str) {
        self.lines.push(shortened(text));
    }

    /// Something that was seen during the step.
    pub fn saw(&mut self, text: &str) {
        for line in text.split('\n') {
            self.lines.push(format!("    {}", shortened(line)));
        }
    }

    /// The condition of the step did not hold in time.
    pub fn stuck(&mut self, step: &str, why: &str) {
        self.lines.push(format!("    STUCK: {why}"));
        self.stuck.push(format!("{}: {why}", shortened(step)));
    }
}

/// Long lines keep both ends and say how much was left out.
fn shortened(line: &str) -> String {
    const KEPT: usize = 1_500;
    if line.len() <= 2 * KEPT {
        return line.to_owned();
    }
    let start = line.floor_char_boundary(KEPT);
    let end = line.ceil_char_boundary(line.len() - 100);
    format!("{}…{} bytes…{}", &line[..start], end - start, &line[end..])
}
