//! What a script says, and how it is read from its file.

mod escape;
mod parse;

pub use escape::{escape, unescape};
pub use parse::parse;

/// A conversation with one server.
#[derive(Debug, Default, Clone)]
pub struct Script {
    /// `area/name`.
    pub name: String,
    /// The reference sections that it pins, such as `client-protocol 1.7`.
    pub pins: Vec<String>,
    /// Why midge differs on purpose; then [`Script::expected`] is what it says instead.
    pub differs: Option<String>,
    /// Whether INFO is recorded with all its fields.
    pub info_full: bool,
    /// Whether PINGs of the server are recorded.
    pub shows_pings: bool,
    /// Whether a server is started before the first step.
    pub starts_server: bool,
    /// Further arguments of the server.
    pub arguments: Vec<String>,
    /// Environment of the server.
    pub environment: Vec<(String, String)>,
    /// The file that log steps read, when the server does not log to standard error.
    pub log_file: Option<String>,
    /// The server configuration.
    pub config: Option<String>,
    /// Further files beside the configuration: name and text.
    pub files: Vec<(String, String)>,
    /// JSON fields that are masked on top of the usual ones.
    pub masked: Vec<String>,
    /// Whether the server runs JetStream, with a store in the folder of the run: all scripts that pin `jetstream`.
    pub jetstream: bool,
    /// The error codes of JetStream that the Go server shows, when the script lists them.
    pub codes: Option<Vec<u16>>,
    /// The conversation.
    pub steps: Vec<Step>,
    /// midge's transcript, for scripts that differ.
    pub expected: Option<Vec<String>>,
}

/// One step, as it is written.
#[derive(Debug, Clone)]
pub struct Step {
    /// The line in the file, from one.
    pub line: usize,
    /// The text in the file.
    pub text: String,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the variant says what its fields are")]
pub enum Action {
    /// Something with a named connection.
    Connection { name: String, does: ConnectionAction },
    /// Runs the program with arguments and records how it ends; briefly means without the lines of standard output.
    Run { arguments: Vec<String>, brief: bool },
    /// A request to the monitoring port.
    Http { path: String, view: HttpView },
    /// Waits for a log line that matches.
    LogWait(String),
    /// Records all log lines that match so far.
    LogLines(String),
    /// Records the text of a file, or that it is absent.
    File(String),
    /// Waits until a file is gone.
    FileGone(String),
    /// Waits until a file exists.
    FileExists(String),
    /// Starts the server.
    Start(Vec<String>),
    /// Sends the server a signal.
    Signal(String),
    /// Waits until the server has ended and records its exit code.
    Exit,
    /// Kills the server, so that another can be started.
    Kill,
    /// Notes whether a new connection to the client port is refused.
    Refused,
    /// Writes a file.
    Write { file: String, text: String },
}

/// What a connection does.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the variant says what its fields are")]
pub enum ConnectionAction {
    /// Opens it, and reads INFO unless TLS comes first.
    Connect(ConnectOptions),
    /// Opens it and exchanges CONNECT, PING and PONG.
    Login { options: ConnectOptions, json: String, seed: Option<String> },
    /// Sends these bytes at once.
    Send(String),
    /// Sends a line, together with the lines that follow in the script.
    Line(String),
    /// Sends these bytes in pieces of a size.
    Split { size: usize, text: String },
    /// Reads until a line contains this.
    Expect(String),
    /// Sends PING and reads to the PONG.
    Sync { sorted: bool },
    /// Reads a number of lines or messages.
    Read { count: usize, sorted: bool },
    /// Publishes, and waits for what is asked for.
    Ask(Ask),
    /// Takes a backup of a stream; the JSON text goes into the request.
    Backup { stream: String, json: String },
    /// Makes a stream of the last backup; the JSON text is laid over the request.
    Restore { stream: String, json: String },
    /// Reads to the end of the stream.
    Closed,
    /// Closes it from our side.
    Close,
}

/// How a connection is opened.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// TLS after INFO.
    pub tls: bool,
    /// TLS before INFO.
    pub tls_first: bool,
    /// The client certificate shown.
    pub certificate: Option<String>,
    /// Highest TLS version offered is 1.2.
    pub tls12: bool,
    /// Nothing is read.
    pub silent: bool,
}

/// What of an HTTP answer is recorded.
#[derive(Debug, Clone, Default)]
pub struct HttpView {
    /// The method; GET when empty.
    pub method: String,
    /// Header lines that matter.
    pub headers: bool,
    /// The names and types of all fields.
    pub keys: bool,
    /// The body as it came.
    pub raw: bool,
    /// Only these fields, as dotted paths.
    pub fields: Vec<String>,
    /// Asks again until this line is in the answer.
    pub until: Option<String>,
}

/// A publish, usually with a reply inbox of its own.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The subject.
    pub subject: String,
    /// Header lines.
    pub headers: Vec<(String, String)>,
    /// The payload, escaped.
    pub body: String,
    /// What is waited for.
    pub awaited: Awaited,
}

/// What a publish waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// So many replies.
    Replies(usize),
    /// Replies, to the first that is a status.
    Status,
    /// Nothing: it has no reply subject.
    Nothing,
    /// That no reply comes.
    Silence,
    /// Nothing: replies go to this subject.
    At(String),
    /// One reply to each of so many; only the last is recorded.
    Many(usize),
    /// Asked again until the reply contains a text.
    Until(String),
}
