//! Who may do what: keys, passwords, permissions and login decisions.
//!
//! ```text
//!  configuration ──▶ decide::Users ◀── Credentials + Connection (facts of one client)
//!                        │
//!                        ▼
//!          Decision::{Accept(Login), Check{work, login}, Refuse(reason)}
//!                        │
//!                        ▼
//!        Login.permissions ──▶ may_publish, may_subscribe, may_receive; ResponseTable beside it
//! ```
//!
//! Contract: every function is pure. A password hash is slow, so it comes back as [`password::PasswordWork`], to be run
//! where waiting is allowed. Checks of permissions allocate nothing. No input of a peer panics.
//!
//! Not here: the TLS handshake and the parsing of certificates (names arrive extracted), JWTs, callouts and trusted
//! proxies.
#![forbid(unsafe_code)]

pub mod decide;
pub mod dn;
pub mod kinds;
pub mod limits;
pub mod nkey;
pub mod password;
pub mod permissions;
pub mod tls_map;

pub use decide::{Connection, Credentials, Decision, Login, Reason, UserKind, Users};
pub use kinds::{ConnectionKind, ConnectionKinds};
pub use password::{PasswordCheck, PasswordWork};
pub use permissions::{Permissions, ResponseTable};
pub use tls_map::PeerNames;
