//! Files that operators' scripts read: the process id and the ports.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes the process id, without a line end; the file stays when the server ends, as the reference server leaves it.
pub fn write_pid(path: &str) -> Result<(), String> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| format!("Could not write pidfile: {}", go_error("open", path, &error)))?;
    write!(file, "{}", std::process::id())
        .map_err(|error| format!("Could not write pidfile: {}", go_error("write", path, &error)))
}

/// An error of the operating system in the words that the reference server's users know.
pub fn go_error(verb: &str, path: &str, error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    let lowered: String = chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect();
    format!("{verb} {path}: {lowered}")
}

/// What a ports file lists.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// URLs for clients.
    pub nats: Vec<String>,
    /// URLs of monitoring.
    pub monitoring: Vec<String>,
}

impl Ports {
    fn json(&self) -> String {
        let lists = [("nats", &self.nats), ("monitoring", &self.monitoring)];
        let parts: Vec<String> = lists
            .iter()
            .filter(|(_, urls)| !urls.is_empty())
            .map(|(key, urls)| {
                let urls: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
                format!("\"{key}\":[{}]", urls.join(","))
            })
            .collect();
        format!("{{{}}}", parts.join(","))
    }
}

/// The ports file of this process, removed when dropped.
#[derive(Debug)]
pub struct PortsFile(PathBuf);

impl PortsFile {
    /// Writes `<dir>/<program>_<pid>.ports`; it appears as a whole or not at all.
    pub fn write(dir: &str, program: &str, ports: &Ports) -> Result<PortsFile, String> {
        let path = Path::new(dir).join(format!("{program}_{}.ports", std::process::id()));
        let partial = path.with_extension("ports.tmp");
        let written = fs::write(&partial, ports.json()).and_then(|()| fs::rename(&partial, &path));
        written.map_err(|error| {
            let shown = path.display().to_string();
            format!("Error writing ports file ({shown}): {}", go_error("open", &shown, &error))
        })?;
        Ok(PortsFile(path))
    }
}

impl Drop for PortsFile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = fs::remove_file(&self.0);
    }
}

/// URLs under which a bound address is reached; an unspecified one stands for every address of the machine.
pub fn urls(scheme: &str, addr: SocketAddr, addresses: &[std::net::IpAddr]) -> Vec<String> {
    if !addr.ip().is_unspecified() {
        return vec![format!("{scheme}://{addr}")];
    }
    let reachable = addresses.iter().filter(|ip| addr.is_ipv6() || ip.is_ipv4());
    let list: Vec<String> =
        reachable.map(|ip| format!("{scheme}://{}", SocketAddr::new(*ip, addr.port()))).collect();
    if list.is_empty() { vec![format!("{scheme}://{addr}")] } else { list }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_addresses_stand_for_all() {
        let any: SocketAddr = "0.0.0.0:4222".parse().expect("address");
        let addresses = ["127.0.0.1".parse().expect("ip"), "::1".parse().expect("ip")];
        assert_eq!(urls("nats", any, &addresses), ["nats://127.0.0.1:4222"]);
        let one: SocketAddr = "127.0.0.1:1".parse().expect("address");
        assert_eq!(urls("tls", one, &addresses), ["tls://127.0.0.1:1"]);
    }

    #[test]
    fn ports_are_listed_as_json() {
        let ports = Ports { nats: vec!["nats://a:1".into(), "nats://b:1".into()], monitoring: vec![] };
        assert_eq!(ports.json(), r#"{"nats":["nats://a:1","nats://b:1"]}"#);
    }
}
