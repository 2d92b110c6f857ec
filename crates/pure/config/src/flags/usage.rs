//! Usage text and help for TLS.

use std::fmt::Write as _;

use crate::schema::tls::{CIPHER_SUITES, CURVES};
use crate::table::{FLAGS, Flag, Group};

/// Width of the column of names.
const COLUMN: usize = 33;

/// The usage text, with an empty line around it.
pub fn usage_text() -> String {
    let mut text = String::from("\nUsage: nats-server [options]\n");
    for (group, heading) in Group::ALL {
        let _ = write!(text, "\n{heading}:\n");
        for flag in FLAGS.iter().filter(|flag| flag.group == *group) {
            let names = names(flag);
            let gap = " ".repeat(COLUMN.saturating_sub(names.len()).max(1));
            let _ = write!(text, "    {names}{gap}{}", flag.doc);
            text.push_str(if flag.supported { "\n" } else { " (not in this version yet)\n" });
        }
    }
    text.push('\n');
    text
}

/// Short names with one dash, long ones with two and aligned behind the place of a short one.
fn names(flag: &Flag) -> String {
    let mut out = String::new();
    if flag.names.first().is_some_and(|name| name.len() > 3) {
        out.push_str("    ");
    }
    for (n, name) in flag.names.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        out.push_str(
            if name.len() <= 3 && *name != "net" && *name != "log" && *name != "pid" && *name != "tls" {
                "-"
            } else {
                "--"
            },
        );
        out.push_str(name);
    }
    if !flag.argument.is_empty() {
        out.push(' ');
        out.push_str(flag.argument);
    }
    out
}

/// Help for the `tls` block.
pub fn help_tls_text() -> String {
    let mut text = String::from(
        "
TLS is configured in the tls block of a configuration file:

    tls {
        cert_file:      \"./certs/server-cert.pem\"
        key_file:       \"./certs/server-key.pem\"
        ca_file:        \"./certs/ca.pem\"
        # Require client certificates of that authority.
        verify:         true
        # Take the user from the client certificate.
        verify_and_map: true
        # Time for the handshake.
        timeout:        \"2s\"

        cipher_suites: [
            \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\",
            \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"
        ]
        curve_preferences: [
            \"X25519\",
            \"CurveP256\"
        ]
    }

Available cipher suites:
",
    );
    for suite in CIPHER_SUITES {
        let _ = writeln!(text, "    {}{}", suite.name, if suite.insecure { " (insecure)" } else { "" });
    }
    text.push_str("\nAvailable curve preferences:\n");
    for (name, _) in CURVES {
        let _ = writeln!(text, "    {name}");
    }
    text.push_str("\nInsecure cipher suites need allow_insecure_cipher_suites: true.\n\n");
    text
}
